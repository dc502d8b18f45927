"""Statistical evidence for a difference: paired tests and their correction, wins, and ranks.

All methods share the initial weights, initial labels and batches of a seed, and the test cases of a split, so they are
compared replicate by replicate. With one split the differences of seeds are tested. With several splits those of splits
are, each the mean over its seeds, because runs of one split are not independent.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from albench.reports.curve import Curve, Values
from albench.reports.replicates import Replicate, unit_of, units

_MOST = 16  # differences: 65,536 combinations of signs
_ROUNDING = 1e-9  # of mean ranks
LEVEL = 0.05
"""Of tests."""


@dataclass(frozen=True)
class Paired:
    """The difference of two methods over what they have in common.

    Attributes:
        units: number of common seeds; of common splits if there are several.
        unit: `seed` or `split`.
        difference: mean; NaN without a common unit.
        low: lower end of the 95 % t interval; NaN with one unit.
        high: upper end.
        t: p-value of the paired t test; NaN with one unit, or if all differences are equal.
        flip: p-value of the sign-flip permutation test; NaN with one unit.
        least: the lowest p-value that the permutation test can give with this number of units.
        sd: sample standard deviation of the differences of units; NaN where `t` is.
    """

    units: int
    unit: str
    difference: float
    low: float
    high: float
    t: float
    flip: float
    least: float
    sd: float


def paired(differences: Mapping[Replicate, float]) -> Paired:
    """Two-sided tests whether the differences of paired runs are centered at 0; the mean of each unit counts once."""
    replicates = sorted(differences)
    values = np.array([np.mean([differences[replicates[i]] for i in own]) for own in units(replicates)])
    n, unit = len(values), unit_of(replicates)
    missing = float("nan")
    mean = float(values.mean()) if n else missing
    if n < 2 or np.isnan(mean):
        return Paired(n, unit, mean, missing, missing, missing, missing, missing, missing)
    low = high = t = sd = missing
    if np.ptp(values) > 1e-12 * max(1.0, abs(mean)):
        result = stats.ttest_1samp(values, 0.0)
        low, high = map(float, result.confidence_interval(0.95))
        t, sd = float(result.pvalue), float(values.std(ddof=1))
    return Paired(n, unit, mean, low, high, t, sign_flip(values), 2 / 2**n, sd)


def sign_flip(differences: Values) -> float:
    """Exact two-sided p-value of the sign-flip test of (n,) differences; NaN for more than 16.

    The share of all 2 ** n combinations of signs whose sum is at least as far from 0. The only assumption is that
    without an effect the sign of every difference is random.
    """
    n = len(differences)
    if n > _MOST:
        return float("nan")
    sums = np.array(list(itertools.product((1.0, -1.0), repeat=n))) @ differences
    found = abs(differences.sum())
    return float((np.abs(sums) >= found - 1e-12 * max(1.0, found)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction over a family of tests [1]; NaN stays NaN and does not count.

    [1] Holm. A simple sequentially rejective multiple test procedure. Scand J Statist 6, 1979.
    """
    tested = [index for index, p in enumerate(p_values) if not np.isnan(p)]
    corrected = [float("nan")] * len(p_values)
    highest = 0.0
    for done, index in enumerate(sorted(tested, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(tested) - done) * p_values[index]))
        corrected[index] = highest
    return corrected


def wins(one: Curve, other: Curve, *, higher: bool) -> float:
    """Share of pairs of replicate and round in which `one` is better, ties counted half; NaN without a pair.

    Rounds are paired if both have equally many labels. Round 0 is left out, because strategies share its labels and
    weights.
    """
    _, first, second = _in_pairs(one, other)
    if first.size == 0:
        return float("nan")
    ahead = first > second if higher else first < second
    return float((ahead + 0.5 * (first == second)).mean())


def penalty(one: Curve, other: Curve, *, higher: bool) -> float:
    """Share of rounds in which `one` is better by a paired t test at 0.05; NaN without two common seeds, or splits.

    This is an element of the pairwise penalty matrix [2, 3] for one dataset and regime: a round in which `one` beats
    `other` adds 1 / rounds to it. Rounds are paired as in `wins`. The tests are not corrected for their number.

    [2] Ash et al. Deep batch active learning by diverse, uncertain gradient lower bounds (BADGE). ICLR 2020.
    [3] Lueth et al. nnActive: a framework for evaluation of active learning in 3D biomedical segmentation. TMLR 2025.
    """
    common, first, second = _in_pairs(one, other)
    if first.size == 0 or len(units(common)) < 2:
        return float("nan")
    gains = first - second if higher else second - first
    tests = [paired(dict(zip(common, column.tolist(), strict=True))) for column in gains.T]
    return float(np.mean([test.difference > 0 and test.t < LEVEL for test in tests]))


def _in_pairs(one: Curve, other: Curve) -> tuple[list[Replicate], Values, Values]:
    """Common replicates and the (n, r) values of both over their common rounds; empty if a value does not exist."""
    common = sorted(set(one.replicates) & set(other.replicates))
    rounds = [r for r in range(1, min(len(one.share), len(other.share))) if one.labeled[r] == other.labeled[r]]
    first = one.values[np.ix_([one.replicates.index(replicate) for replicate in common], rounds)]
    second = other.values[np.ix_([other.replicates.index(replicate) for replicate in common], rounds)]
    if np.isnan(first).any() or np.isnan(second).any():
        return [], np.empty((0, 0)), np.empty((0, 0))
    return common, first, second


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods over replicates, 1 for the best.

    Attributes:
        units: number of seeds common to all methods; of splits if there are several.
        unit: `seed` or `split`.
        mean: by method.
        low: the lowest mean rank when any one unit is left out; NaN with one unit.
        high: likewise the highest.
        first: methods that have the best mean rank over all units, or when any one unit is left out.
    """

    units: int
    unit: str
    mean: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    first: frozenset[str]


def ranks(scores: Mapping[str, Mapping[Replicate, float]], *, higher: bool) -> Ranks | None:
    """Rank methods replicate by replicate, equal values sharing the mean of their ranks.

    The mean of each unit counts once. None if no replicate is common to all.

    Args:
        scores: {method: {replicate: value}}.
    """
    methods = list(scores)
    common = sorted(set.intersection(*(set(own) for own in scores.values()))) if methods else []
    table = np.array([[scores[method][replicate] for replicate in common] for method in methods])
    if not common or np.isnan(table).any():
        return None
    ranked = stats.rankdata(-table if higher else table, axis=0)
    parts = units(common)
    of_units = np.stack([ranked[:, own].mean(1) for own in parts], axis=1)
    samples = [of_units.mean(1)]
    if len(parts) > 1:
        samples += [np.delete(of_units, left_out, axis=1).mean(1) for left_out in range(len(parts))]
    best = [sample <= sample.min() + _ROUNDING for sample in samples]
    first = {method for sample in best for method, leads in zip(methods, sample, strict=True) if leads}
    without = np.array(samples[1:]) if len(parts) > 1 else np.full((1, len(methods)), np.nan)
    return Ranks(
        len(parts),
        unit_of(common),
        dict(zip(methods, samples[0].tolist(), strict=True)),
        dict(zip(methods, without.min(0).tolist(), strict=True)),
        dict(zip(methods, without.max(0).tolist(), strict=True)),
        frozenset(first),
    )
