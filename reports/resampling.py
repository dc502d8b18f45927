"""The bootstrap over replicates: splits first if there are several, then the seeds within each drawn split.

The bootstrap of n values is too narrow by two factors [1]: the variance of its means is that of the sample with n in
the denominator, and its quantiles are normal ones where those of Student's t are due. `enlargement` corrects both. With
5 seeds it is 1.58.

[1] Hesterberg. What teachers should know about the bootstrap. The American Statistician 69, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from albench.reports.replicates import Replicate, splits_of

Values = NDArray[np.float64]

RESAMPLES = 2_000

TAIL = 0.025
"""Outside a 95 % interval on each side."""

NORMAL = float(stats.norm.ppf(1 - TAIL))
"""Half the width of a 95 % interval of a normal value, in standard deviations."""


def resampled(replicates: Sequence[Replicate], beside: Sequence[Replicate] | None = None) -> Values:
    """Random weights of replicates in a mean, with a fixed seed.

    Two methods with the same replicates get the same weights, so that their difference is resampled in pairs.

    Args:
        replicates: (n,) of one method.
        beside: those of the method that it is compared with. With the same splits but other seeds, splits are drawn in
            pairs and seeds independently; with other splits everything is. None for the same.

    Returns:
        (b, n): each row sums to 1.
    """
    splits = splits_of(replicates)
    apart_splits = beside is not None and splits_of(beside) != splits
    apart_seeds = beside is not None and list(beside) != list(replicates)
    members = [[i for i, replicate in enumerate(replicates) if replicate.split == split] for split in splits]
    sizes = np.array([len(own) for own in members])
    table = np.array([own + [0] * (max(sizes) - len(own)) for own in members])  # (k, m), filled up

    drawn = np.random.default_rng([0, apart_splits]).integers(0, len(splits), (RESAMPLES, len(splits)))
    uniform = np.random.default_rng([1, apart_seeds]).random((*drawn.shape, table.shape[1]))
    within = (uniform * sizes[drawn][..., None]).astype(int)
    chosen = np.take_along_axis(table[drawn], within, axis=2)
    exists = np.arange(table.shape[1]) < sizes[drawn][..., None]
    rows = np.broadcast_to(np.arange(RESAMPLES)[:, None, None], chosen.shape)
    n = len(replicates)
    counts = np.bincount((rows * n + chosen)[exists], minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    return np.asarray(counts / counts.sum(1, keepdims=True))


def enlargement(*sources: tuple[float, int]) -> float:
    """Factor on deviations of resampled means in a 95 % interval; 1 if nothing varies.

    With several independent sources, variances add up, and the degrees of freedom are those of Satterthwaite.

    Args:
        sources: (variance of the mean, number of values that it was estimated from) of each.
    """
    known = [(variance, n) for variance, n in sources if n > 1 and variance > 0]
    if not known:
        return 1.0
    total = sum(variance for variance, _ in known)
    freedom = total**2 / sum(variance**2 / (n - 1) for variance, n in known)
    narrowed = sum(variance * (n - 1) / n for variance, n in known)
    return float(math.sqrt(total / narrowed) * stats.t.ppf(1 - TAIL, freedom) / NORMAL)


def unbiased(n: int) -> float:
    """Factor on deviations of means of n resampled values that makes their variance unbiased; 1 for a single value."""
    return math.sqrt(n / (n - 1)) if n > 1 else 1.0


def interval(values: Values) -> tuple[float, float]:
    """95 % percentile interval of (b,) resampled values, infinite ones included."""
    low, high = np.quantile(values, [TAIL, 1 - TAIL], method="inverted_cdf")
    return float(low), float(high)
