"""Label efficiency: how good a method becomes, and with how few labels.

Shares are fractions of the pool. A share that is not reached within the budget is infinite. A number is NaN if it does
not exist because the reference, a second seed or a value is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from albench.reports.curve import Curve, Values, spread
from albench.reports.replicates import Replicate
from albench.reports.resampling import interval, resampled


@dataclass(frozen=True)
class Reached:
    """The lowest labeled share at which the supervised reference is reached (S%), and its stricter forms.

    Attributes:
        mean: where the mean over replicates first reaches it, as in the STAR paper.
        sustained: the lowest share from which the mean over replicates reaches it in all later rounds.
        near: where the mean over replicates first comes within the margin.
        median: of the shares at which each replicate's own curve first reaches it.
        low: lower end of the 95 % bootstrap interval of that median.
        high: upper end.
        replicates: number of replicates that reach it.
    """

    mean: float
    sustained: float
    near: float
    median: float
    low: float
    high: float
    replicates: int


def at_share(curve: Curve, share: float) -> int | None:
    """The round nearest to a labeled share, the earlier of two; None if the curve does not cover it.

    A curve covers half a step beyond its first and last round.
    """
    steps = np.diff(curve.share)
    slack = float(steps.max()) / 2 if len(steps) else 0.0
    if not curve.share[0] - slack - 1e-9 <= share <= curve.share[-1] + slack + 1e-9:
        return None
    distance = np.abs(curve.share - share)
    return int(np.flatnonzero(distance <= distance.min() + 1e-9)[0])


def best_round(curve: Curve, *, higher: bool) -> int | None:
    """The round of max(p): the best mean over replicates, the first of equals. None if no mean exists."""
    mean = curve.mean if higher else -curve.mean
    return None if np.isnan(mean).all() else int(np.nanargmax(mean))


def best_per_replicate(curve: Curve, *, higher: bool) -> Values:
    """(n,) best value of each replicate in any round; its mean is at least max(p), because noise is selected too."""
    values = curve.values if higher else -curve.values
    best = np.where(np.isnan(values), -np.inf, values).max(1)
    best[np.isinf(best)] = np.nan
    return best if higher else -best


def reached(curve: Curve, reference: float, margin: float, *, higher: bool) -> Reached:
    """The shares at which the reference is reached; all NaN if the reference is NaN."""
    if np.isnan(reference):
        return Reached(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    sign = 1 if higher else -1
    mean, target = sign * curve.mean, sign * reference
    firsts = np.array([_first(curve.share, row >= target) for row in sign * curve.values])
    low, high = median_interval(firsts, curve.replicates)
    return Reached(
        mean=_first(curve.share, mean >= target),
        sustained=_first(curve.share, np.logical_and.accumulate((mean >= target)[::-1])[::-1]),
        near=_first(curve.share, mean >= target - margin),
        median=float(_medians(firsts, np.full((1, len(firsts)), 1 / len(firsts)))[0]),
        low=low,
        high=high,
        replicates=int(np.isfinite(firsts).sum()),
    )


def median_interval(values: Values, replicates: Sequence[Replicate]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median of (n,) values, infinite ones included; NaN for a single one."""
    if len(values) < 2:
        return float("nan"), float("nan")
    return interval(_medians(values, resampled(replicates)))


def area(share: Values, values: Values, low: float, high: float) -> Values:
    """Area under curves between two shares, by the trapezoidal rule, divided by its width (AUBC).

    Args:
        share: (r,) ascending.
        values: (n, r).
        low: between the first and the last share.
        high: likewise; if it equals `low`, the area is the value there.

    Returns:
        (n,): of a constant curve its value.
    """
    inside = share[(share > low) & (share < high)]
    grid = np.array([low, *inside, high])
    heights = np.array([np.interp(grid, share, row) for row in values])
    if high <= low:
        return heights[:, 0]
    return np.asarray(trapezoid(heights, grid, axis=1)) / (high - low)


def mean_and_sd(values: Values) -> tuple[float, float]:
    """Mean and standard deviation over replicates."""
    return float(values.mean()), float(spread(values[:, None])[0])


def common_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """The shares that all curves cover from round 1 on, over which their areas can be compared; None if none exists.

    Round 0 is the same for all strategies, so it tells nothing about them. It stands for a curve without another round.
    """
    low = max(curve.share[min(1, len(curve.share) - 1)] for curve in curves)
    high = min(curve.share[-1] for curve in curves)
    return (float(low), float(high)) if low <= high else None


def _first(share: Values, there: NDArray[np.bool_]) -> float:
    return float(share[np.argmax(there)]) if there.any() else float("inf")


def _medians(values: Values, weights: Values) -> Values:
    """(b,) medians of (n,) values with (b, n) weights; infinite if one of the two middle values is."""
    order = np.argsort(values)
    ordered, sums = values[order], weights[:, order].cumsum(1)
    return np.asarray((ordered[(sums > 0.5 - 1e-9).argmax(1)] + ordered[(sums > 0.5 + 1e-9).argmax(1)]) / 2)
