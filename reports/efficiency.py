"""How good a method gets, and with how few labels: the numbers of a learning curve.

Shares are fractions of the pool. A share that is not reached within the budget is infinite; NaN means that the number
does not exist, because there is no reference, no second seed, or no value.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid

from albench.reports.curve import Curve, Values, spread

_RESAMPLES = 10_000
_EXACT = 5  # seeds up to which all n ** n resamples are counted


@dataclass(frozen=True)
class Reached:
    """The least labeled share at which the supervised reference is reached (S%), and its stricter forms.

    Attributes:
        mean: where the mean over seeds first reaches it, as in the STAR paper.
        sustained: from where on the mean over seeds stays there to the end.
        near: where the mean over seeds first comes within the margin.
        median: of the shares at which each seed's own curve first reaches it.
        low: lower end of the 95 % bootstrap interval of that median.
        high: upper end.
        seeds: how many seeds reach it.
    """

    mean: float
    sustained: float
    near: float
    median: float
    low: float
    high: float
    seeds: int


def at_share(curve: Curve, share: float) -> int | None:
    """The round nearest to a labeled share, the earlier of two; None if the curve has no round near it.

    Near is half a step of the curve beyond its first or last round.
    """
    steps = np.diff(curve.share)
    slack = float(steps.max()) / 2 if len(steps) else 0.0
    if not curve.share[0] - slack - 1e-9 <= share <= curve.share[-1] + slack + 1e-9:
        return None
    distance = np.abs(curve.share - share)
    return int(np.flatnonzero(distance <= distance.min() + 1e-9)[0])


def best_round(curve: Curve, *, higher: bool) -> int | None:
    """The round with the best mean over seeds, the first of equals: that of max(p). None if there is no value."""
    mean = curve.mean if higher else -curve.mean
    return None if np.isnan(mean).all() else int(np.nanargmax(mean))


def best_per_seed(curve: Curve, *, higher: bool) -> Values:
    """(n,) best value of each seed, in whichever round: its mean is higher than max(p), since noise is chosen too."""
    values = curve.values if higher else -curve.values
    best = np.where(np.isnan(values), -np.inf, values).max(1)
    best[np.isinf(best)] = np.nan
    return best if higher else -best


def reached(curve: Curve, reference: float, margin: float, *, higher: bool) -> Reached:
    """Where the reference is reached; all NaN if the reference is NaN."""
    if np.isnan(reference):
        return Reached(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    sign = 1 if higher else -1
    mean, target = sign * curve.mean, sign * reference
    firsts = np.array([_first(curve.share, row >= target) for row in sign * curve.values])
    low, high = median_interval(firsts)
    return Reached(
        mean=_first(curve.share, mean >= target),
        sustained=_first(curve.share, np.logical_and.accumulate((mean >= target)[::-1])[::-1]),
        near=_first(curve.share, mean >= target - margin),
        median=_median(firsts),
        low=low,
        high=high,
        seeds=int(np.isfinite(firsts).sum()),
    )


def median_interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median of (n,) values, infinite ones included; NaN for a single value.

    All resamples are counted for up to 5 values, 10,000 random ones with a fixed seed are for more.
    """
    n = len(values)
    if n < 2:
        return float("nan"), float("nan")
    if n <= _EXACT:
        chosen = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(0).integers(0, n, (_RESAMPLES, n))
    medians = np.sort([_median(row) for row in values[chosen]])
    tail = (1 - level) / 2
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def area(share: Values, values: Values, low: float, high: float) -> Values:
    """Area under curves between two shares, by the trapezoidal rule, divided by its width (AUBC).

    Args:
        share: (r,) ascending.
        values: (n, r).
        low: between the first and the last share.
        high: likewise; if it equals `low`, the value there is meant.

    Returns:
        (n,): a curve that is constant gives its value.
    """
    inside = share[(share > low) & (share < high)]
    grid = np.array([low, *inside, high])
    heights = np.array([np.interp(grid, share, row) for row in values])
    if high <= low:
        return heights[:, 0]
    return np.asarray(trapezoid(heights, grid, axis=1)) / (high - low)


def summary(values: Values) -> tuple[float, float]:
    """Mean and standard deviation over seeds."""
    return float(values.mean()), float(spread(values[:, None])[0])


def common_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Shares that all curves cover, over which their areas can be compared; None if there are none."""
    low, high = max(curve.share[0] for curve in curves), min(curve.share[-1] for curve in curves)
    return (float(low), float(high)) if low <= high else None


def _first(share: Values, there: np.ndarray) -> float:
    return float(share[np.argmax(there)]) if there.any() else float("inf")


def _median(values: Values) -> float:
    """Of infinite values too, whose mean with a finite one is infinite."""
    ordered = np.sort(values)
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)
