"""Intervals of a mean that hold over seeds and test cases, and over splits if there are several.

Seeds and cases of a split are crossed: every seed is tested on the same cases. Both are resampled independently [1].
With several splits, these are resampled first, and seeds and cases within each drawn one. What seeds and cases have
only together is counted up to three times, so the interval is rather too wide than too narrow [1].

Only the variance is taken from the bootstrap. Its quantiles would be those of a few skewed values, such as five seeds.

A case in the test set of several splits counts as another case in each.

[1] Owen. The pigeonhole bootstrap. Annals of Applied Statistics 1, 2007.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from albench.reports.replicates import Replicate, splits_of
from albench.reports.resampling import NORMAL, RESAMPLES, TAIL, enlargement

Values = NDArray[np.float64]


def interval_over_cases(values: Mapping[Replicate, Values]) -> tuple[float, float]:
    """95 % interval of the mean of values such as the differences of two methods.

    The mean plus or minus the standard deviation of resampled means times Student's quantile, corrected as in
    `albench.reports.resampling`. It is at least as wide as the t interval over seeds, cases or splits alone: a small
    second source adds more degrees of freedom than variance. NaN with a single split and a single seed or case, which
    show no variance, and if a value is missing.

    Args:
        values: {replicate: (c,) one value per test case of its split}.
    """
    tables = _tables(values)
    sources = _sources(tables)
    if any(n < 2 for _, n in sources) or any(np.isnan(table).any() for table in tables):
        return float("nan"), float("nan")
    mean = float(np.mean([table.mean() for table in tables]))
    of_all = NORMAL * enlargement(*sources) * float(resampled_means(values).std())
    of_one = max(float(stats.t.ppf(1 - TAIL, n - 1)) * math.sqrt(variance) for variance, n in sources)
    half = max(of_all, of_one)
    return mean - half, mean + half


def resampled_means(values: Mapping[Replicate, Values], count: int = RESAMPLES) -> Values:
    """(count,) means of resampled seeds and cases, with a fixed seed: methods that are compared get the same draws."""
    tables = _tables(values)
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, len(tables), (len(tables), count))
    means = np.zeros(count)
    for chosen in drawn:
        for index, table in enumerate(tables):
            rows = np.flatnonzero(chosen == index)
            seeds, cases = (_weights(rng, n, len(rows)) for n in table.shape)
            means[rows] += ((seeds @ table) * cases).sum(1) / len(tables)
    return means


def _tables(values: Mapping[Replicate, Values]) -> list[Values]:
    """A (seeds, cases) table of every split."""
    return [
        np.array([values[replicate] for replicate in sorted(values) if replicate.split == split])
        for split in splits_of(values)
    ]


def _weights(rng: np.random.Generator, n: int, count: int) -> Values:
    """(count, n) shares of n values among n draws."""
    return np.asarray(rng.multinomial(n, np.full(n, 1 / n), count) / n)


def _sources(tables: list[Values]) -> list[tuple[float, int]]:
    """(variance of the mean, number of values) by splits, or by seeds and by cases of a single split."""
    if len(tables) > 1:
        margins = [np.array([table.mean() for table in tables])]
    else:
        margins = [table.mean(axis) for table in tables for axis in (1, 0)]
    return [(float(margin.var(ddof=1)) / len(margin) if len(margin) > 1 else 0.0, len(margin)) for margin in margins]
