"""Do runs with CUDA graphs learn like runs without them? Needs a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main
from albench.callback import NullCallback
from albench.config import PAPER_STOP
from albench.loop import run
from albench.resolve import resolve
from albench.run_session import Execution
from albench.temporary import temporary_folder

_SEEDS = 2
_SETTINGS: dict[str, object] = PAPER_STOP | {
    **{"data.count": 8, "data.depth": 16, "protocol.split": [5, 1, 2], "protocol.interval": 4, "protocol.budget": 8},
    **{"protocol.rounds": 2, "training.batch_size": 8, "training.epochs": 8, "training.patience": 8},
}


def measure() -> Iterator[Row]:
    """Short runs of entropy on the phantom, of each seed two without graphs and one with them.

    Two equal runs differ on a GPU, because the order of its sums is not fixed. The difference of two curves is the
    largest one of the Dice of the test cases over the rounds.
    """
    equal, graphed = [], []
    with temporary_folder() as folder, patch.dict(os.environ, ALBENCH_CACHE=f"{folder}/cache"):
        for seed in range(_SEEDS):
            out = folder / str(seed)
            one, other = (curve(seed, out / name, graphs=False) for name in ("one", "other"))
            replayed = curve(seed, out / "graphs", graphs=True)
            equal.append(_difference(one, other))
            graphed.append(max(_difference(replayed, one), _difference(replayed, other)))
            note = f"seeds 0 to {seed}"
            yield Row("difference of two curves without graphs", Spread.of(equal), unit="Dice", note=note)
            yield Row("difference of curves with and without graphs", Spread.of(graphed), unit="Dice", note=note)
    if max(equal):
        yield Row("largest difference with graphs, relative to that without", Spread.of([max(graphed) / max(equal)]))


def curve(seed: int, out: Path, *, graphs: bool) -> list[float]:
    """The mean Dice of the test cases after every round of a run."""
    execution = Execution(synthetic.DEVICE, share=False, graphs=graphs)
    records = run(resolve("entropy", "phantom", seed=seed, settings=_SETTINGS), out, execution, _Strict()).records
    return [float(record.test.dice_volume or 0) for record in records]


class _Strict(NullCallback):
    """Ends a run that is not computed as it should be."""

    def on_notice(self, text: str) -> None:
        """Raise it."""
        synthetic.refuse(text)


def _difference(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main("graph_curves", measure, needs_gpu=True)
