"""All measurements in one record: `make speed`.

Those of a GPU, if there is one, come first, together in one process, for as long as they may take. Each of the CPU has
a process of its own, which sees no GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch

from albench.benchmarks.speed.record import check_gpu, read, start_record
from albench.errors import StoreError
from albench.files import write_json

_CPU = (
    *("floor", "start_time", "k_center", "mutual_information", "training", "inference", "star_query", "taal_step"),
    *("audit", "run_overhead", "scale", "preparation_workers", "suite_overhead"),
)
_GPU = (  # the shortest first, because their time is limited
    *("floor", "training", "inference", "star_query", "k_center", "mutual_information", "taal_step"),
    *("brats_size", "graph_curves", "paper_hours"),
)
_LONG = ("large_pool", "unit_costs")  # measured only if named
_GPU_SECONDS = 230.0  # with the start of this program not more than four minutes
_NO_GPU: Mapping[str, str] = {"CUDA_VISIBLE_DEVICES": ""}
_EVERYWHERE = {"PYTHONSAFEPATH": "1"}  # so that a folder of the same name as a package does not hide it

Plan = list[tuple[tuple[str, ...], Mapping[str, str]]]
"""(questions, changes to its environment) of every process."""


def main() -> int:
    """Measure. The exit code is 1 if a question is not answered; a missed limit is an answer."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m albench.benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--records", type=Path, default=records_folder(), help="folder of the record (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=sorted({*_CPU, *_GPU, *_LONG}), help="questions to measure")
    parser.add_argument("--gpu-only", action="store_true", help="leave out the measurements of the CPU")
    parser.add_argument(
        "--gpu-seconds",
        type=float,
        default=_GPU_SECONDS,
        help="end those of the GPU after this time (default: %(default)g)",
    )
    arguments = parser.parse_args()
    if arguments.gpu_only:
        check_gpu("--gpu-only")
    if not gpu:
        for name in {*(arguments.only or ())} - {*_CPU, *_LONG}:
            check_gpu(name)
    planned = plan(arguments.only, cpu=not arguments.gpu_only, gpu=gpu)
    if not planned:
        parser.error(f"--gpu-only must leave a question of {', '.join(_GPU)}, --only names none of them")
    record = start_record([name for names, _ in planned for name in names])
    hardware = record["hardware"]
    text = f"{hardware['gpu'] or hardware['cpu']}-{hardware['cores']}-cores".lower()
    path = arguments.records / f"{datetime.now():%Y-%m-%d-%H%M%S}-{re.sub('[^a-z0-9]+', '-', text)}.json"
    try:
        write_json(path, record)
    except StoreError as error:
        parser.error(f"--records: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which also ends the measurement that is running
    print(f"record: {path}", flush=True)
    return int(not answer(planned, path, arguments.gpu_seconds))


def answer(planned: Plan, path: Path, gpu_seconds: float) -> bool:
    """Start one process after the other; returns whether all questions are answered.

    Args:
        planned: processes, see `plan`.
        path: of the record.
        gpu_seconds: after which that of a GPU is ended.
    """
    unanswered: list[str] = []
    for names, environment in planned:
        known = len(read(path)["findings"])
        command = [sys.executable, "-m", f"{__package__}.together", "--json", str(path), *names]
        allowed = None if environment == _NO_GPU else gpu_seconds
        try:
            subprocess.run(command, env={**os.environ, **_EVERYWHERE, **environment}, timeout=allowed, check=False)
        except subprocess.TimeoutExpired:
            print(f"ended, because the questions of the GPU may take {gpu_seconds:g} s", flush=True)
        answered = {finding["name"] for finding in read(path)["findings"][known:] if finding["finished"]}
        unanswered += [name for name in names if name not in answered]
    if unanswered:
        print(f"not or not completely answered: {', '.join(unanswered)}", flush=True)
    return not unanswered


def plan(only: Sequence[str] | None, *, cpu: bool, gpu: bool) -> Plan:
    """The process for all measurements of a GPU, then those for each of the CPU.

    Args:
        only: questions; None takes all that make sense here and are not long.
        cpu: whether to measure the CPU.
        gpu: whether there is one.
    """
    names = [*_CPU, *(_GPU if gpu else ())] if only is None else only
    on_gpu = tuple(name for name in _GPU if name in names and gpu)
    on_cpu: Plan = [((name,), _NO_GPU) for name in (*_CPU, *_LONG) if name in names and cpu]
    return [*([(on_gpu, {})] if on_gpu else []), *on_cpu]


def records_folder() -> Path:
    """That of the checkout, if albench runs from one that can be written; otherwise the current folder."""
    here = Path(__file__).parent
    folder, checkout = here / "records", (here.parents[1] / "setup.cfg").exists()
    return folder if checkout and os.access(folder, os.W_OK) else Path()


if __name__ == "__main__":
    sys.exit(main())
