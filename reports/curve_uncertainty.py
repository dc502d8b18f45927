"""How sure the numbers of a mean curve are: an interval of S%, and what max(p) owes to noise.

Whole curves are resampled (`albench.reports.resampling`), so that rounds keep their dependence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.reports.curve import Curve, Values
from albench.reports.isotonic import first_reach, increasing
from albench.reports.replicates import unit_of, units
from albench.reports.resampling import enlargement, interval, resampled, unbiased


@dataclass(frozen=True)
class Crossing:
    """The labeled share at which the monotone mean curve reaches the supervised reference, between rounds.

    Attributes:
        share: infinite if it is never reached.
        low: lower end of the 95 % interval; NaN if the method or the reference has a single seed or split.
        high: upper end; infinite if the reference may never be reached.
    """

    share: float
    low: float
    high: float


def crossing(curve: Curve, reference: Curve, *, higher: bool) -> Crossing:
    """S% of the isotonic regression of the mean curve, with a bootstrap interval.

    The first crossing of a noisy curve is biased towards few labels, and so is every resample of it: where the curve is
    flat, no more than two of three such intervals hold the true crossing. The mean curve and every resample are
    therefore made monotone first. The reference is resampled too.

    Args:
        curve: of a method.
        reference: whose last round is to be reached.
        higher: whether a higher value is better.
    """
    sign = 1 if higher else -1
    mean, target = sign * curve.mean, sign * reference.mean[-1:]
    if np.isnan(mean).any() or np.isnan(target).any():
        return Crossing(np.nan, np.nan, np.nan)
    share = float(first_reach(curve.share, increasing(mean[None]), target)[0])
    pair = resampled_pair(curve, reference)
    if pair is None:
        return Crossing(share, np.nan, np.nan)
    curves, references = pair
    return Crossing(share, *interval(first_reach(curve.share, increasing(sign * curves), sign * references[:, -1])))


def resampled_pair(curve: Curve, other: Curve) -> tuple[Values, Values] | None:
    """(b, r) resampled mean curves of two methods, in pairs as far as they have the same replicates.

    Deviations are enlarged as in `albench.reports.resampling`.

    Returns:
        None unless both have two seeds, or both two splits, or more: a single one shows no variance, and an interval
        without that of one of the two would be too narrow.
    """
    numbers = [len(units(own.replicates)) for own in (curve, other)]
    if min(numbers) < 2 or unit_of(curve.replicates) != unit_of(other.replicates):
        return None
    weights = resampled(curve.replicates), resampled(other.replicates, beside=curve.replicates)
    one, two = (
        own.mean + enlargement((1.0, n)) * (drawn @ own.values - own.mean)
        for own, n, drawn in zip((curve, other), numbers, weights, strict=True)
    )
    return one, two


def selection_bias(curve: Curve, *, higher: bool) -> float:
    """By how much max(p) exceeds the maximum of the true curve on average, because the best round is selected.

    Estimated by the bootstrap: the mean maximum of resampled curves minus the maximum of the curve that they scatter
    around. This is the isotonic regression of the mean curve, because the mean curve itself is as rough as one
    resample, and its resamples would gain too little by selection. NaN with a single replicate or without a value.

    Returns:
        At least 0; for distances, by how much min(p) is too low.
    """
    sign, n = 1 if higher else -1, len(units(curve.replicates))
    mean = sign * curve.mean
    if n < 2 or np.isnan(mean).any():
        return float("nan")
    center = increasing(mean[None])[0]
    deviations = resampled(curve.replicates) @ (sign * curve.values) - mean
    return max(0.0, float((center + unbiased(n) * deviations).max(1).mean() - center.max()))
