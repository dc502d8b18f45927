"""How fast a method closes the gap to the supervised reference per annotated foreground [1].

The mean curve is described by

    y(x) = y_full - (y_full - y_0) exp(-gamma (x - x_0))

with x the annotated foreground pixels as a share of those of the whole pool, x_0 and y_0 those of round 0, and y_full
the supervised reference. A larger gamma is a faster method: 1 / gamma is the share of the foreground that closes 63 %
of the gap. Initial labels are the same for all methods, so gamma tells whether the foreground that a method chooses is
worth more than that of another method; it does not tell whether the method finds more of it.

[1] Lueth et al. nnActive: a framework for evaluation of active learning in 3D biomedical segmentation. TMLR 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from albench.reports.costs import annotation_cost
from albench.reports.group import Group
from albench.reports.runs import Run

Values = NDArray[np.float64]

_CLOSED = 1e-3  # what is left of the gap


def foreground_efficiency(group: Group, label: str) -> float:
    """Gamma of a method; NaN without a reference on every split of the method."""
    if group.reference_curve is None:
        return float("nan")
    curve = group.curves[label]
    shares = _annotated(group.methods[label], group.reference)[: len(curve.share)]
    return closing_rate(shares, curve.mean, float(group.reference_curve.mean[-1]))


def closing_rate(x: Values, y: Values, full: float) -> float:
    """Gamma by least squares, of any sign.

    NaN with one round, if the cost does not grow, without a gap in round 0, if the gap is closed before round 1, or if
    the fit does not converge.

    Args:
        x: (r,) ascending.
        y: (r,) values.
        full: y of the supervised reference.
    """
    gap, reach = full - y[0], x[-1] - x[0]
    if not reach > 0 or not np.isfinite([*y, gap]).all() or gap == 0:
        return float("nan")
    unit, closed = (x - x[0]) / reach, (y - y[0]) / gap  # from 0 to 1, and what is fitted from 0 to 1 - exp(-gamma)
    left = min(max(1 - closed[-1], 0.01), 100.0)
    with np.errstate(over="ignore"):
        fit = least_squares(lambda gamma: 1 - np.exp(-gamma * unit) - closed, [-np.log(left)])
    if not fit.success:
        return float("nan")
    rate = fit.x[0]
    closed_at_once = np.exp(-rate * unit[1]) < _CLOSED  # a larger gamma fits as well
    return float("nan") if closed_at_once else float(rate / reach)


def _annotated(runs: Sequence[Run], reference: Sequence[Run]) -> Values:
    """(r,) annotated foreground as a share of that of the pool, mean over runs; NaN if a split has no reference."""
    pools = {run.replicate.split: annotation_cost(run, "foreground_pixels")[-1] for run in reference}
    rounds = min(len(run.reader.records) for run in runs)
    shares = [
        annotation_cost(run, "foreground_pixels")[:rounds] / pools.get(run.replicate.split, np.nan) for run in runs
    ]
    return np.asarray(np.mean(shares, axis=0))
