"""Times of several variants to do one thing, taken in turns, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Variant = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """The median of repeats, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def interleaved(
    variants: Mapping[str, Variant], repeats: int, device: torch.device | None = None
) -> dict[str, list[float]]:
    """Seconds of every variant, A B A B, after one turn that is not counted.

    Args:
        device: whose queue is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, variant in variants.items():
            start = time.perf_counter()
            variant()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(above: list[float], below: list[float]) -> Spread:
    """How many times as long one variant took as another, turn by turn."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])
