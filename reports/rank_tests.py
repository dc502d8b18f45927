"""Tests of methods over several datasets by their ranks, after Demsar [1].

A dataset is one observation. What few of them can tell is part of each result: the lowest p-value that a test can give
with this number of datasets and methods.

[1] Demsar. Statistical comparisons of classifiers over multiple data sets. JMLR 7, 2006.
[2] Benavoli, Corani, Mangili. Should we really use post-hoc tests based on mean-ranks? JMLR 17, 2016.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from albench.reports.curve import Values
from albench.reports.significance import sign_flip

LEVEL = 0.05
_MOST = 20_000  # permutations


@dataclass(frozen=True)
class Friedman:
    """The test whether all methods are alike, that is, whether their mean ranks differ only by chance.

    Attributes:
        chi_square: the statistic of Friedman, corrected for ties; NaN if all methods are ranked alike everywhere.
        f: the same after Iman and Davenport; infinite if all datasets rank alike.
        p: exact if that is feasible, otherwise of `f` and at least `least`; NaN without a statistic.
        least: the share of equally likely rankings in which all datasets agree with the first one; no p can be lower.
        exact: whether `p` is the share of all permutations within datasets whose statistic is at least as large.
    """

    chi_square: float
    f: float
    p: float
    least: float
    exact: bool


def friedman(ranks: Values) -> Friedman:
    """The Friedman test with the correction of Iman and Davenport (Section 3.2.2 of [1]).

    On few datasets, the distribution of F is a poor approximation, the more so with ties. There p is exact.

    Args:
        ranks: (k, n) of k methods on n datasets, at least two each. Ranks that are means over regimes of a dataset are
            allowed: then the statistic is that of the permutation test of these scores within datasets (Conover,
            Practical Nonparametric Statistics, 1999, Section 5.8).
    """
    methods, datasets = ranks.shape
    exact = (datasets - 1) * math.lgamma(methods + 1) <= math.log(_MOST)
    least = math.exp((1 - datasets) * math.lgamma(methods + 1))
    within = ((ranks - ranks.mean(0)) ** 2).sum()
    between = datasets * ((ranks.mean(1) - ranks.mean()) ** 2).sum()
    if within <= 0:
        return Friedman(math.nan, math.nan, math.nan, least, exact)
    chi_square = float((methods - 1) * datasets * between / within)
    left = datasets * (methods - 1) - chi_square
    f = (datasets - 1) * chi_square / left if left > 1e-9 else math.inf
    p = _exact(ranks) if exact else float(stats.f.sf(f, methods - 1, (methods - 1) * (datasets - 1)))
    return Friedman(chi_square, f, max(p, least), least, exact)


def _exact(ranks: Values) -> float:
    """Share of all permutations of (k, n) ranks within datasets whose mean ranks are spread at least as much.

    Those of the first dataset need no permutation.
    """
    orders = np.array(list(itertools.permutations(range(len(ranks)))))
    sums = ranks[None, :, 0]
    for column in ranks.T[1:]:
        sums = (sums[:, None] + column[orders]).reshape(-1, len(ranks))
    return float(((sums**2).sum(1) >= (ranks.sum(1) ** 2).sum() - 1e-9).mean())


def critical_difference(methods: int, datasets: int) -> float:
    """The difference of two mean ranks that the test of Nemenyi needs at 0.05 (Section 3.2.2 of [1]).

    For ranks that are means over regimes, which vary less, it is rather too large than too small.
    """
    q = float(stats.studentized_range.ppf(1 - LEVEL, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * datasets))


def alike(means: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """The largest groups of methods whose mean ranks differ by less than the critical difference.

    Args:
        means: ascending.

    Returns:
        First and last position of every group of at least two that lies in no other one.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(means)):
        last = max(i for i in range(first, len(means)) if means[i] - means[first] < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def signed_rank(differences: Values) -> float:
    """Exact two-sided p-value of the signed-rank test of Wilcoxon, which [2] recommends after Friedman's.

    The share of all combinations of signs whose sum of signed ranks is at least as far from 0. Equal distances share
    the mean of their ranks. Differences of 0 are ranked too and count for neither side, which is as splitting their
    ranks evenly (Section 3.1.3 of [1]). For more than 16 differences, the normal approximation of scipy.

    Args:
        differences: (n,) one per dataset.
    """
    ranks = stats.rankdata(np.abs(differences))
    p = sign_flip(np.sign(differences) * ranks)
    if math.isnan(p) and np.any(differences):
        return float(stats.wilcoxon(differences, zero_method="zsplit", method="approx").pvalue)
    return 1.0 if math.isnan(p) else p


def least_signed_rank(datasets: int) -> float:
    """The lowest p-value that `signed_rank` can give."""
    return 2.0 ** (1 - datasets)


def ranked(values: NDArray[np.float64], *, higher: bool) -> Values:
    """(k, n) ranks of k methods in each of n columns, 1 for the best; equal values share the mean of their ranks."""
    return np.asarray(stats.rankdata(-values if higher else values, axis=0))
