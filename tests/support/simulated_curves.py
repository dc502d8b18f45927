"""Simulated studies: learning curves of seeds that scatter around a true curve, so that estimates can be judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.reports.curve import Curve
from albench.reports.replicates import Replicate

Values = NDArray[np.float64]

SHARES: Values = 0.1 + 0.015 * np.arange(17, dtype=np.float64)
"""Labeled shares of 17 rounds, as in the STAR paper."""


@dataclass(frozen=True)
class Truth:
    """An exponential curve.

    Attributes:
        first: value in round 0.
        last: value that it tends to.
        scale: labeled share in which 63 % of the gap close.
    """

    first: float
    last: float
    scale: float

    def at(self, shares: Values | float) -> Values:
        """Its values."""
        return np.asarray(self.last - (self.last - self.first) * np.exp((SHARES[0] - shares) / self.scale))


TRUTHS = {
    "fast": Truth(0.6, 0.85, 0.04),
    "medium": Truth(0.6, 0.85, 0.08),
    "slow": Truth(0.6, 0.85, 0.2),
    "flat": Truth(0.82, 0.85, 0.08),
    "straight": Truth(0.7, 10.0, 15.5),  # within these rounds
}


def replicates(seeds: int, splits: int = 1, first: int = 0) -> tuple[Replicate, ...]:
    """Every seed, beginning with `first`, on every split."""
    return tuple(Replicate(first + seed, split) for seed in range(seeds) for split in range(splits))


def studies(
    truth: Truth,
    reference: float,
    *,
    count: int,
    noise: float,
    common: float,
    paired: bool = True,
    seeds: int = 5,
    stream: int = 0,
) -> Iterator[tuple[Curve, Curve]]:
    """Studies of a method and of the supervised reference.

    Args:
        truth: of the method.
        reference: true value of the supervised reference.
        count: of studies.
        noise: standard deviation of every value of a seed.
        common: standard deviation of what all values of a seed have in common.
        paired: whether the reference has the seeds of the method; otherwise it has as many others.
        seeds: per study.
        stream: of random numbers.

    Yields:
        The curves of the method, and that of the reference with a single round.
    """
    rng = np.random.default_rng(stream)
    own, others = replicates(seeds), replicates(seeds, first=0 if paired else seeds)
    for _ in range(count):
        shared = rng.normal(0, common, (seeds, 1))
        values = truth.at(SHARES) + shared + rng.normal(0, noise, (seeds, len(SHARES)))
        shared = shared if paired else rng.normal(0, common, (seeds, 1))
        final = reference + shared + rng.normal(0, noise, (seeds, 1))
        yield Curve(own, 1000 * SHARES, SHARES, values), Curve(others, np.array([1000.0]), np.ones(1), final)
