"""How many more labels the baseline needs for the same result: the speed-up factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from albench.reports.curve import Curve, Values
from albench.reports.curve_uncertainty import resampled_pair
from albench.reports.isotonic import ROUNDING, first_reach, increasing
from albench.reports.resampling import interval


@dataclass(frozen=True)
class Speedup:
    """Labels of the baseline divided by those of a method for the same value.

    Attributes:
        factor: above 1 if the method saves labels; NaN if it is not defined.
        low: lower end of the 95 % bootstrap interval; NaN without one.
        high: upper end.
    """

    factor: float
    low: float = math.nan
    high: float = math.nan


def speedup(curve: Curve, baseline: Curve, *, higher: bool) -> Speedup:
    """The speed-up of a method, with a bootstrap interval.

    The value is the worse of the two last ones, so that both curves reach it: with equal budgets a better method could
    not be told from an equal one by its own last value. Both mean curves are made monotone first, and labels are read
    on straight lines between rounds. All labels count, initial ones included. Exchanging method and baseline gives the
    reciprocal.

    A curve that begins above the value does not show how many labels it needs, so there is no factor. Resamples without
    one may have any, and if more than 2.5 % have none there is no interval.
    """
    sign = 1 if higher else -1
    factor = float(_factors(curve.labeled, sign * curve.mean[None], baseline.labeled, sign * baseline.mean[None])[0])
    pair = resampled_pair(curve, baseline)
    if math.isnan(factor) or pair is None:
        return Speedup(factor)
    own, other = (sign * means for means in pair)
    factors = _factors(curve.labeled, own, baseline.labeled, other)
    missing = np.isnan(factors)
    low, _ = interval(np.where(missing, 0.0, factors))
    _, high = interval(np.where(missing, np.inf, factors))
    return Speedup(factor, low, high) if low > 0 and high < math.inf else Speedup(factor)


def _factors(labeled: Values, curves: Values, labeled_baseline: Values, baselines: Values) -> Values:
    """(b,) factors of (b, r) mean curves and (b, s) ones of the baseline; NaN where one is not defined."""
    own, other = increasing(curves), increasing(baselines)
    value = np.minimum(own[:, -1], other[:, -1])
    shown = np.maximum(own[:, 0], other[:, 0]) <= value + ROUNDING  # False with a missing value too
    with np.errstate(invalid="ignore"):
        factors = first_reach(labeled_baseline, other, value) / first_reach(labeled, own, value)
    return np.where(shown, factors, np.nan)
