"""How much of the variance of a method's AUBC comes from splits and how much from seeds, by the method of moments.

Crossed (every seed on every split, one run each), from the mean squares of a two-way analysis of variance [1]:

    run    = MS_run                              what a seed and a split have only together
    split  = (MS_split - MS_run) / seeds
    seed   = (MS_seed - MS_run) / splits

Nested (every split has seeds of its own), from those of a one-way analysis:

    seed   = MS_within
    split  = (MS_split - MS_within) / n_0        n_0: runs per split, see [1] for unequal numbers

A negative estimate counts as 0. Other designs, such as a crossed one with a missing run, are not separated.

[1] Searle, Casella, McCulloch. Variance components. Wiley, 1992.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.reports.replicates import Replicate, splits_of

Values = NDArray[np.float64]


@dataclass(frozen=True)
class VarianceParts:
    """Standard deviations, in the unit of the metric.

    Attributes:
        total: of all runs, with n - 1 in the denominator.
        split: between splits; NaN if splits and seeds cannot be separated.
        seed: between seeds; NaN likewise.
        run: what is left in crossed runs; NaN in others.
    """

    total: float
    split: float
    seed: float
    run: float


def variance_parts(values: Mapping[Replicate, float]) -> VarianceParts | None:
    """The parts of the variance of values; None with one split.

    Only the total is known with one run per split, as with `protocol.splits=nested`, and if some seeds have runs on
    several splits but not all on all.
    """
    splits = splits_of(values)
    if len(splits) < 2:
        return None
    total = float(np.std(list(values.values()), ddof=1))
    seeds = sorted({replicate.seed for replicate in values})
    crossed = [Replicate(seed, split) for split in splits for seed in seeds]
    if len(seeds) > 1 and sorted(values) == sorted(crossed):
        table = np.array([values[replicate] for replicate in crossed]).reshape(len(splits), len(seeds))
        return VarianceParts(total, *_two_way(table))
    if len(values) == len(splits) or len(values) > len(seeds):
        return VarianceParts(total, np.nan, np.nan, np.nan)
    groups = [np.array([value for own, value in values.items() if own.split == split]) for split in splits]
    return VarianceParts(total, *_one_way(groups), np.nan)


def _two_way(table: Values) -> tuple[float, float, float]:
    """Deviations by split, by seed and by run of a (splits, seeds) table."""
    k, n = table.shape
    of_split = n * table.mean(1).var(ddof=1)
    of_seed = k * table.mean(0).var(ddof=1)
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    of_run = (left**2).sum() / ((k - 1) * (n - 1))
    return _root((of_split - of_run) / n), _root((of_seed - of_run) / k), _root(of_run)


def _one_way(groups: list[Values]) -> tuple[float, float]:
    """Deviations by split and within splits."""
    sizes, k = np.array([len(group) for group in groups]), len(groups)
    mean = np.concatenate(groups).mean()
    between = sum(len(group) * (group.mean() - mean) ** 2 for group in groups) / (k - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (sizes.sum() - k)
    per_split = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (k - 1)
    return _root((between - within) / per_split), _root(within)


def _root(variance: float) -> float:
    return float(np.sqrt(max(variance, 0.0)))
