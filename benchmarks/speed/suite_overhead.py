"""What does a suite cost besides its runs, and what do two parallel runs save?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.speed.synthetic import BY_EPOCHS
from albench.runs import find_runs
from albench.temporary import temporary_folder

_SUITE = {
    "about": "Four runs of half a minute.",
    "dataset": "phantom",
    "seeds": 4,
    "settings": {"protocol": {"rounds": 3}, "training": BY_EPOCHS | {"epochs": 12, "patience": 12}},
    "strategies": ["random"],
}


def measure() -> Iterator[Row]:
    """Four single-threaded runs on Ray, one and two at a time, including the start of Ray and its workers."""
    with temporary_folder() as folder:
        os.environ["ALBENCH_CACHE"] = f"{folder}/cache"
        suite = folder / "four.yaml"
        suite.write_text(yaml.safe_dump(_SUITE))
        _bench(suite, folder / "prepared", "--plan")
        one, inside = _timed(suite, folder / "one", 1)
        yield Row("time of the four runs", Spread.of([inside]), unit="s")
        yield Row("one at a time, relative to the time of the runs", Spread.of([one / inside]), "<= 1.10")
        two, _ = _timed(suite, folder / "two", 2)
        yield Row("one at a time, relative to two at a time", Spread.of([one / two]), ">= 1.5")


def _timed(suite: Path, out: Path, at_once: int) -> tuple[float, float]:
    """Seconds of the whole command, and the sum of the seconds of all phases of all runs."""
    start = time.perf_counter()
    _bench(suite, out, f"--max-parallel={at_once}")
    whole = time.perf_counter() - start
    return whole, sum(record.cost.seconds.total for run in find_runs(out) for record in run.records)


def _bench(suite: Path, out: Path, option: str) -> None:
    start = "from albench.cli.main import main; main()"
    command = [sys.executable, "-c", start, "bench", str(suite), f"--storage={out}", option]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main("suite_overhead", measure)
