"""Several questions in one process: a GPU and its libraries take longer to start than most answers take."""

from __future__ import annotations

import argparse
import gc
import sys
import traceback
from importlib import import_module
from pathlib import Path

import torch

from albench.benchmarks.speed.record import answer


def main() -> int:
    """Answer one after the other. The exit code is 1 if one of them fails; the others are answered nevertheless."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file of the record")
    parser.add_argument("names", nargs="+", help="modules of the questions")
    arguments, failed = parser.parse_args(), False
    for name in arguments.names:
        try:
            answer(name, import_module(f"{__package__}.{name}").measure, arguments.json)
        except Exception:
            traceback.print_exc()
            failed = True
        gc.collect()
        torch.cuda.empty_cache()  # for the next question; without a GPU this does nothing
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
