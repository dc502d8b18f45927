"""How sure the numbers of a mean curve are: an interval of S%, and what max(p) owes to noise.

Whole curves are resampled (`albench.reports.resampling`), so that rounds keep their dependence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.reports.curve import Curve
from albench.reports.isotonic import first_reach, increasing
from albench.reports.replicates import units
from albench.reports.resampling import enlargement, interval, resampled, unbiased

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """The labeled share at which the monotone mean curve reaches the supervised reference, between rounds.

    Attributes:
        share: infinite if it is never reached.
        low: lower end of the 95 % interval; NaN with a single replicate.
        high: upper end; infinite if the reference may never be reached.
    """

    share: float
    low: float
    high: float


def crossing(curve: Curve, reference: Curve, *, higher: bool) -> Crossing:
    """S% of the isotonic regression of the mean curve, with a bootstrap interval.

    The first crossing of a noisy curve is biased towards few labels, and so is every resample of it: where the curve is
    flat, no more than two of three such intervals hold the true crossing. The mean curve and every resample are
    therefore made monotone first. The reference is resampled too, in pairs where it has the replicates of the method.

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
    if len(units(curve.replicates)) < 2:
        return Crossing(share, np.nan, np.nan)
    wider = enlargement((1.0, len(units(curve.replicates))))
    curves = mean + wider * (resampled(curve.replicates) @ (sign * curve.values) - mean)
    wider = enlargement((1.0, len(units(reference.replicates))))
    weights = resampled(reference.replicates, beside=curve.replicates)
    targets = target + wider * (weights @ (sign * reference.values[:, -1]) - target)
    return Crossing(share, *interval(first_reach(curve.share, increasing(curves), targets)))


def selection_bias(curve: Curve, *, higher: bool) -> float:
    """By how much max(p) exceeds the maximum of the true curve on average, because the best round is selected.

    Estimated by the bootstrap: the mean maximum of resampled curves minus the maximum of the curve that they scatter
    around. This is the isotonic regression of the mean curve, because the mean curve itself is as rough as one
    resample, and its resamples would gain too little by selection. NaN with a single replicate or without a value.

    Returns:
        Positive; for distances, by how much min(p) is too low.
    """
    sign, n = 1 if higher else -1, len(units(curve.replicates))
    mean = sign * curve.mean
    if n < 2 or np.isnan(mean).any():
        return float("nan")
    center = increasing(mean[None])[0]
    deviations = resampled(curve.replicates) @ (sign * curve.values) - mean
    return float((center + unbiased(n) * deviations).max(1).mean() - center.max())
