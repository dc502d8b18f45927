"""All measurements one after the other, each in a process of its own, into one record: `make speed`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import torch

from albench.benchmarks.speed.record import machine, read
from albench.files import write_json

_QUESTIONS = (
    *("floor", "k_center", "mutual_information", "training", "inference", "star_query", "taal_step", "loop", "scale"),
    *("preparation", "suite"),
)
_GPU_QUESTIONS = ("brats_size",)
_LONG_QUESTIONS = ("large_pool",)  # asked by name only


def main() -> int:
    """Measure; the exit code is 1 if a measurement could not be made. A missed limit is a finding, no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path(__file__).parent / "records", help="where to keep them")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(*_QUESTIONS, *_GPU_QUESTIONS, *_LONG_QUESTIONS),
        default=fitting(),
        help="some of the questions",
    )
    arguments = parser.parse_args()
    found, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            path = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", f"albench.benchmarks.speed.{name}", "--json", str(path)]
            failed = subprocess.run(command, check=False).returncode != 0 or failed
            if path.exists():
                found.append(read(path))
    about = machine()
    hardware = about["hardware"]
    assert isinstance(hardware, dict)
    text = f"{hardware['gpu'] or hardware['cpu']}-{hardware['cores']}-cores".lower()
    name = f"{date.today().isoformat()}-{re.sub('[^a-z0-9]+', '-', text)}.json"
    write_json(arguments.records / name, about | {"findings": found})
    print(f"record: {arguments.records / name}")
    return int(failed)


def fitting() -> tuple[str, ...]:
    """The questions that this machine can answer."""
    return _QUESTIONS + (_GPU_QUESTIONS if torch.cuda.is_available() else ())


if __name__ == "__main__":
    sys.exit(main())
