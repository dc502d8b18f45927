"""All measurements one after the other, each in a process of its own, into one record: `make speed`.

Those of the CPU see no GPU; where there is one, some are made once more on it.
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
    *("floor", "k_center", "mutual_information", "training", "inference", "star_query", "taal_step", "loop", "scale"),
    *("preparation", "suite"),
)
_GPU_TOO = ("floor", "training", "inference", "star_query", "taal_step")  # asked once more on a GPU
_GPU_ONLY = ("brats_size",)
_LONG_QUESTIONS = ("large_pool",)  # asked by name only
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def main() -> int:
    """Measure; the exit code is 1 if a measurement could not be made. A missed limit is a finding, no failure."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path(__file__).parent / "records", help="where to keep them")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(*_QUESTIONS, *_GPU_ONLY, *_LONG_QUESTIONS),
        default=_QUESTIONS + (_GPU_ONLY if gpu else ()),
        help="some of the questions",
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
    """Modules to run, and what to change in their environment: all of the CPU first, then those of a GPU."""
    on_cpu = [(name, _NO_GPU) for name in names if name not in _GPU_ONLY]
    return on_cpu + [(name, {}) for name in names if name in _GPU_ONLY or (gpu and name in _GPU_TOO)]


if __name__ == "__main__":
    sys.exit(main())
