"""What does a run cost besides training, evaluation and query?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.record import Row, main
from albench.config import PAPER_STOP
from albench.data import prepare
from albench.loop import run
from albench.registry import DATASETS, find
from albench.resolve import resolve
from albench.run_session import Execution
from albench.runs.store import RunStore
from albench.temporary import temporary_folder

_SETTINGS = PAPER_STOP | {"data.count": 12, "protocol.rounds": 2, "training.epochs": 5}
_TO_THE_FIRST_STEP = """
import os
import albench.cli.main, albench.training.learner
albench.training.learner.Learner.optimize = lambda *arguments, **options: os._exit(0)
albench.cli.main.main()
"""


def measure() -> Iterator[Row]:
    """Three rounds of entropy on 12 cases of the phantom, twice; and the start of `albench run`."""
    with temporary_folder() as folder:
        os.environ["ALBENCH_CACHE"] = str(folder / "cache")
        rest, stored = [], []
        warm_up = resolve("entropy", "phantom", settings=_SETTINGS | {"protocol.rounds": 0, "training.epochs": 1})
        run(warm_up, folder / "warm-up", Execution(synthetic.DEVICE))  # imports MONAI; the last row counts that
        for seed in range(2):
            resolved = resolve("entropy", "phantom", seed=seed, settings=_SETTINGS)
            out, execution = folder / "runs", Execution(synthetic.DEVICE)
            with _timed_writes() as taken:
                start = time.perf_counter()
                done = run(resolved, out, execution)
                whole = time.perf_counter() - start
            inside = sum(record.cost.seconds.total for record in done.records)
            rest.append((whole - inside) / whole * 100)
            stored += taken
        yield Row("outside fit, evaluate and query", Spread.of(rest), "<= 2", "% of the run")
        yield Row("writing a round", Spread.of(stored), "<= 50", "ms")
        data = find(DATASETS, "phantom")(count=12)
        opened = interleaved({"open": lambda: prepare(data)}, 5)["open"]
        yield Row("opening a prepared dataset", Spread.of(opened), "<= 1", "s")
        started = interleaved({"start": lambda: _start(folder)}, 3)["start"]
        yield Row("albench run to the first training step", Spread.of(started), "<= 6", "s")


@contextmanager
def _timed_writes() -> Iterator[list[float]]:
    """Milliseconds of every `RunStore.append` in the block."""
    append: Callable[..., None] = RunStore.append
    taken: list[float] = []

    def timed(*arguments: object, **options: object) -> None:
        start = time.perf_counter()
        append(*arguments, **options)
        taken.append((time.perf_counter() - start) * 1e3)

    with patch.object(RunStore, "append", timed):
        yield taken


def _start(folder: Path) -> None:
    sets = [f"--set={name}={value}" for name, value in _SETTINGS.items()]
    arguments = ["run", "--strategy=entropy", "--dataset=phantom", "--seed=9", f"--out={folder}/other", *sets]
    subprocess.run([sys.executable, "-c", _TO_THE_FIRST_STEP, *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    main("run_overhead", measure)
