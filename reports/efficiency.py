"""Label efficiency: how good a method becomes, and with how few labels.

Shares are fractions of the pool. A share that is not reached within the budget is infinite. A number is NaN if it does
not exist because the reference, a second seed or a value is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from albench.reports.curve import Curve, Values, spread

_RESAMPLES = 10_000
_EXACT = 5  # seeds up to which all n ** n resamples are counted


@dataclass(frozen=True)
class Reached:
    """The lowest labeled share at which the supervised reference is reached (S%), and its stricter forms.

    Attributes:
        mean: where the mean over seeds first reaches it, as in the STAR paper.
        sustained: the lowest share from which the mean over seeds reaches it in all later rounds.
        near: where the mean over seeds first comes within the margin.
        median: of the shares at which each seed's own curve first reaches it.
        low: lower end of the 95 % bootstrap interval of that median.
        high: upper end.
        seeds: number of seeds that reach it.
    """

    mean: float
    sustained: float
    near: float
    median: float
    low: float
    high: float
    seeds: int


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
    """The round of max(p): the best mean over seeds, the first of equals. None if no mean exists."""
    mean = curve.mean if higher else -curve.mean
    return None if np.isnan(mean).all() else int(np.nanargmax(mean))


def best_per_seed(curve: Curve, *, higher: bool) -> Values:
    """(n,) best value of each seed in any round; its mean is at least max(p), because noise is selected too."""
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

    All resamples of up to 5 values are counted, and 10,000 random ones with a fixed seed of more values.
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
    """Mean and standard deviation over seeds."""
    return float(values.mean()), float(spread(values[:, None])[0])


def common_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """The shares that all curves cover, over which their areas can be compared; None if none exists."""
    low, high = max(curve.share[0] for curve in curves), min(curve.share[-1] for curve in curves)
    return (float(low), float(high)) if low <= high else None


def _first(share: Values, there: NDArray[np.bool_]) -> float:
    return float(share[np.argmax(there)]) if there.any() else float("inf")


def _median(values: Values) -> float:
    """The median, which is infinite if one of the two middle values is."""
    ordered = np.sort(values)
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)
