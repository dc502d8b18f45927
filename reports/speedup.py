"""How many more labels the baseline needs for the same result: the speed-up factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from albench.reports.curve import Curve
from albench.reports.isotonic import ROUNDING, first_reach, increasing


@dataclass(frozen=True)
class Speedup:
    """Labels of the baseline for the final value of a method, divided by those of the method.

    Attributes:
        factor: above 1 if the method saves labels; NaN if a value is missing.
        bound: `>` if the baseline never reaches the value, and the factor is that of its last round; `<` if it begins
            above it, and the factor is that of its round 0; otherwise empty.
    """

    factor: float
    bound: Literal["", ">", "<"] = ""


def speedup(curve: Curve, baseline: Curve, *, higher: bool) -> Speedup:
    """The speed-up of a method in its last round.

    The baseline's need is read from the isotonic regression of its mean curve, on straight lines between rounds. All
    labels count, initial ones included.
    """
    sign = 1 if higher else -1
    target, needs = sign * curve.mean[-1:], sign * baseline.mean[None]
    if np.isnan(target).any() or np.isnan(needs).any():
        return Speedup(math.nan)
    fitted, own = increasing(needs), float(curve.labeled[-1])
    needed = float(first_reach(baseline.labeled, fitted, target)[0])
    if math.isinf(needed):
        return Speedup(float(baseline.labeled[-1]) / own, ">")
    return Speedup(needed / own, "<" if fitted[0, 0] > target[0] + ROUNDING else "")
