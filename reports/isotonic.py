"""Monotone regression of learning curves, and the share at which they reach a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

ROUNDING = 1e-9
"""A value that is missed by no more is reached: means are not exact."""

_MOST = 2_000_000  # means held at once


def increasing(values: Values) -> Values:
    """The nondecreasing curves nearest to (b, r) curves by the sum of squares, NaN for a curve with a NaN.

    By the max-min formula, which is as fast for thousands of curves as the usual algorithm for one [1]:
    the value in round i is the maximum over j <= i of the minimum over k >= i of the mean of rounds j to k.

    [1] Robertson, Wright, Dykstra. Order restricted statistical inference. Wiley, 1988, Sec. 1.4.
    """
    size = max(1, _MOST // values.shape[1] ** 2)
    return np.concatenate([_increasing(values[first : first + size]) for first in range(0, len(values), size)])


def _increasing(values: Values) -> Values:
    b, r = values.shape
    sums = np.concatenate([np.zeros((b, 1)), values.cumsum(1)], axis=1)
    first, last = np.arange(r)[:, None], np.arange(r)
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / np.maximum(last - first + 1, 1)  # (b, r, r) of rounds j to k
    means = np.where(last >= first, means, np.inf)
    lowest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    fitted = np.where(first <= last, lowest, -np.inf).max(1)
    return np.where(np.isnan(values).any(1, keepdims=True), np.nan, fitted)


def first_reach(at: Values, curves: Values, targets: Values) -> Values:
    """Where curves first reach a value, on straight lines between rounds; infinite where they never do.

    Args:
        at: (r,) ascending, such as labeled shares.
        curves: (b, r).
        targets: (b,), or (1,) for all.

    Returns:
        (b,): at least `at[0]`, which also stands for a curve that begins above its target.
    """
    there = curves >= targets[:, None] - ROUNDING
    right = there.argmax(1)
    left, rows = np.maximum(right - 1, 0), np.arange(len(curves))
    rise = curves[rows, right] - curves[rows, left]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(right > left, (targets - curves[rows, left]) / rise, 0.0)
    found = at[left] + part * (at[right] - at[left])
    return np.where(there.any(1), np.minimum(found, at[right]), np.inf)
