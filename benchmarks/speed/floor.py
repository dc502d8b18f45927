"""What are the peak rates of this machine, or of its GPU: arithmetic and memory traffic per second?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.record import Row, main

_SIDE, _PRECISION = (8192, torch.bfloat16) if synthetic.DEVICE.type == "cuda" else (2048, torch.float32)
_NUMBERS = 1 << 26  # far more than fit into the caches


def measure() -> Iterator[Row]:
    """A matrix product in the precision of a training, float32 on a CPU and bfloat16 on a GPU; a copy of an array."""
    yield Row(f"{str(_PRECISION).removeprefix('torch.')} matrix product", Spread.of([peak() / 1e9]), unit="GFLOP/s")
    yield Row("copy, read and written", Spread.of([bandwidth() / 1e9]), unit="GB/s")


@cache
def peak() -> float:
    """Operations per second, the best of ten large matrix products."""
    first, second = torch.rand(2, _SIDE, _SIDE, dtype=_PRECISION, device=synthetic.DEVICE)
    return 2 * _SIDE**3 / min(interleaved({"product": lambda: first @ second}, 10, synthetic.DEVICE)["product"])


@cache
def bandwidth() -> float:
    """Bytes read and written per second, the best of ten copies."""
    source = torch.zeros(_NUMBERS, device=synthetic.DEVICE)
    target = torch.empty_like(source)
    return 2 * 4 * _NUMBERS / min(interleaved({"copy": lambda: target.copy_(source)}, 10, synthetic.DEVICE)["copy"])


def seconds_of_arithmetic(flops: float) -> float:
    """Lower bound of the time of this many operations."""
    return flops / peak()


if __name__ == "__main__":
    main("floor", measure)
