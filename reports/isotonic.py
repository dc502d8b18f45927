"""Monotone regression of learning curves, and the share at which they reach a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

ROUNDING = 1e-9
"""A value that is missed by no more is reached: means are not exact."""


def increasing(values: Values) -> Values:
    """The nondecreasing curves nearest to (b, r) curves by the sum of squares, NaN for a curve with a NaN.

    By the max-min formula [1], which is computed for thousands of curves at once:
    the value in round i is the maximum over j <= i of the minimum over k >= i of the mean of rounds j to k.

    [1] Robertson, Wright, Dykstra. Order restricted statistical inference. Wiley, 1988.
    """
    b, r = values.shape
    sums = np.zeros((r + 1, b))
    np.cumsum(values.T, axis=0, out=sums[1:])
    fitted = np.full((r, b), -np.inf)
    for j in range(r):
        means = (sums[j + 1 :] - sums[j]) / np.arange(1, r - j + 1)[:, None]  # of rounds j to k, for every k
        lowest = np.minimum.accumulate(means[::-1], axis=0)[::-1]
        np.maximum(fitted[j:], lowest, out=fitted[j:])
    return np.where(np.isnan(values).any(1, keepdims=True), np.nan, fitted.T)


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
