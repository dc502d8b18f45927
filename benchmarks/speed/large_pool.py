"""How much time and memory does a query over 100,000 slices need, with every strategy?"""

from __future__ import annotations

from collections.abc import Iterator

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.speed.scale import query
from albench.registry import STRATEGIES, available
from albench.temporary import temporary_folder

_SLICES = 100_000


def measure() -> Iterator[Row]:
    """100,000 slices of 64 x 64, the smallest network, 30 labeled slices, a budget of 16; STAR trains for one epoch."""
    with temporary_folder() as folder:
        prepared = synthetic.made_up(_SLICES, 64, folder)
        for entry in available(STRATEGIES):
            if entry.name != "full":
                seconds, grown = query(entry.name, prepared)
                yield Row(entry.name, Spread.of([seconds]), unit="s")
                yield Row(f"{entry.name}, memory", Spread.of([grown / 2**30]), "<= 24", "GiB")


if __name__ == "__main__":
    main("large_pool", measure)
