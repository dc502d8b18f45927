"""What this machine can do at most: arithmetic and memory traffic per second, measured."""

from __future__ import annotations

from functools import cache

import torch

from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.record import Finding, Row, main

_SIDE = 2048
_NUMBERS = 1 << 26  # far more than the caches hold


def measure() -> Finding:
    """A float32 matrix product and a copy of a large array, on the CPU."""
    rows = [
        Row("float32 matrix product", Spread.of([peak() / 1e9]), unit="GFLOP/s"),
        Row("copy, read and written", Spread.of([bandwidth() / 1e9]), unit="GB/s"),
    ]
    return Finding("What can this machine do at most?", rows)


@cache
def peak() -> float:
    """Float32 operations per second of the best of ten large matrix products on the CPU."""
    first, second = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
    return 2 * _SIDE**3 / min(interleaved({"product": lambda: first @ second}, 10)["product"])


@cache
def bandwidth() -> float:
    """Bytes per second, read and written, of the best of ten copies."""
    source = torch.zeros(_NUMBERS)
    target = torch.empty_like(source)
    return 2 * 4 * _NUMBERS / min(interleaved({"copy": lambda: target.copy_(source)}, 10)["copy"])


def seconds_of_arithmetic(flops: float) -> float:
    """How long so many float32 operations take at least."""
    return flops / peak()


if __name__ == "__main__":
    main("floor", measure)
