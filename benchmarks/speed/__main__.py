"""All measurements, each in its own process, in one record: `make speed`.

Measurements of the CPU do not see a GPU. If there is one, some are repeated on it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from os import environ
from pathlib import Path

import torch

from albench.benchmarks.speed.record import machine, read
from albench.files import write_json

_QUESTIONS = (
    *("floor", "start_time", "k_center", "mutual_information", "training", "inference", "star_query", "taal_step"),
    *("run_overhead", "scale", "preparation_workers", "suite_overhead"),
)
_GPU_TOO = ("floor", "training", "inference", "star_query", "taal_step")  # repeated on a GPU
_GPU_ONLY = ("brats_size",)
_LONG_QUESTIONS = ("large_pool",)  # measured only if named
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def main() -> int:
    """Measure. The exit code is 1 if a measurement failed; a missed limit is a finding, not a failure."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path(__file__).parent / "records", help="folder of the record")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(*_QUESTIONS, *_GPU_ONLY, *_LONG_QUESTIONS),
        default=_QUESTIONS + (_GPU_ONLY if gpu else ()),
        help="questions to measure",
    )
    arguments = parser.parse_args()
    found, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for count, (name, environment) in enumerate(plan(arguments.only, gpu)):
            path = Path(folder) / f"{count}.json"
            command = [sys.executable, "-m", f"albench.benchmarks.speed.{name}", "--json", str(path)]
            failed = subprocess.run(command, env=environ | environment, check=False).returncode != 0 or failed
            if path.exists():
                found.append(read(path))
    about = machine()
    hardware = about["hardware"]
    text = f"{hardware['gpu'] or hardware['cpu']}-{hardware['cores']}-cores".lower()
    name = f"{datetime.now():%Y-%m-%d-%H%M%S}-{re.sub('[^a-z0-9]+', '-', text)}.json"
    write_json(arguments.records / name, about | {"findings": found})
    print(f"record: {arguments.records / name}")
    return int(failed)


def plan(names: Sequence[str], gpu: bool) -> list[tuple[str, dict[str, str]]]:
    """(module, changes to its environment) of every measurement: those of the CPU, then those of a GPU."""
    on_cpu = [(name, _NO_GPU) for name in names if name not in _GPU_ONLY]
    return on_cpu + [(name, {}) for name in names if name in _GPU_ONLY or (gpu and name in _GPU_TOO)]


if __name__ == "__main__":
    sys.exit(main())
