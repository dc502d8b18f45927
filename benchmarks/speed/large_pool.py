"""How much time and memory does a query over 100,000 slices need, with every strategy?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Finding, Row, main
from albench.benchmarks.speed.scale import query
from albench.registry import STRATEGIES, available

_SLICES = 100_000


def measure() -> Finding:
    """100,000 slices of 64 x 64, the smallest network, 30 labeled slices, a budget of 16; STAR trains for one epoch."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        prepared = synthetic.made_up(_SLICES, 64, Path(folder))
        for entry in available(STRATEGIES):
            if entry.name != "full":
                seconds, grown = query(entry.name, prepared)
                rows.append(Row(entry.name, Spread.of([seconds]), unit="s"))
                rows.append(Row(f"{entry.name}, memory", Spread.of([grown / 2**30]), "<= 24", "GiB"))
                print(rows[-2], rows[-1], sep="; ", flush=True)
    return Finding("How much time and memory does a query over 100,000 slices need?", rows)


if __name__ == "__main__":
    main("large_pool", measure)
