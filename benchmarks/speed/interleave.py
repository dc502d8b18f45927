"""Times of several variants, measured in turns, so that other load on the machine affects all of them equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Variant = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of repeated measurements."""

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
    """Seconds of every variant, in the order A B A B, after a warm-up turn.

    Args:
        variants: by name.
        repeats: number of turns.
        device: to synchronize with after each variant.
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
    """The time of one variant relative to another, turn by turn."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])
