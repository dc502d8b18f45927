"""The numbers of one method's learning curves."""

from __future__ import annotations

import numpy as np

from albench.reports.curve_uncertainty import Crossing, crossing, selection_bias
from albench.reports.efficiency import Reached, area, at_share, best_per_replicate, best_round, mean_and_sd, reached
from albench.reports.foreground_efficiency import foreground_efficiency
from albench.reports.group import Group
from albench.reports.paper_values import SHARES
from albench.reports.speedup import Speedup, speedup

REGIMES = ("early", "middle", "late")
"""Thirds of the range of labeled shares."""

_NO_CROSSING = Crossing(np.nan, np.nan, np.nan)
_NEVER = Reached(np.inf, np.inf, np.inf, np.inf, np.nan, np.nan, 0)  # by a method without predictions


def numbers(group: Group, label: str, baseline: str, margin: float) -> dict[str, float]:
    """The numbers of a method's curves, by name; docs/reading-the-report.md explains each.

    Args:
        group: in which the method is compared.
        label: the method.
        baseline: label of the method that labels are saved against; it may be missing in the group.
        margin: how far below the reference a value is still close to it.
    """
    curve, higher = group.curves[label], group.metric.higher
    row: dict[str, float] = {"replicates": len(curve.replicates)}
    for share in SHARES:
        index, name = at_share(curve, share), f"at_{share * 100:.0f}"
        row[name] = np.nan if index is None else float(curve.mean[index])
        row[f"{name}_sd"] = np.nan if index is None else float(curve.sd[index])
        row[f"{name}_share"] = np.nan if index is None else float(curve.share[index])
    best = best_round(curve, higher=higher)
    row["max"] = np.nan if best is None else float(curve.mean[best])
    row["max_sd"] = np.nan if best is None else float(curve.sd[best])
    row["max_share"] = np.nan if best is None else float(curve.share[best])
    row["max_bias"] = selection_bias(curve, higher=higher)
    row["mean_of_max"], row["mean_of_max_sd"] = mean_and_sd(best_per_replicate(curve, higher=higher))
    reference, row["reference_sd"] = group.supervised
    row["reference"] = reference
    reachable = not group.reference_at_floor
    found = reached(curve, reference if reachable else np.nan, margin, higher=higher)
    if label in group.without_prediction and reachable and not np.isnan(reference):
        found = _NEVER
    row["reach"], row["reach_sustained"], row["reach_near"] = found.mean, found.sustained, found.near
    reaching = np.flatnonzero(curve.share == found.mean)
    row["reach_labeled"] = float(curve.labeled[reaching[0]]) if len(reaching) else found.mean
    row["reach_median"], row["reach_median_low"], row["reach_median_high"] = found.median, found.low, found.high
    row["reach_replicates"] = found.replicates
    monotone = _NO_CROSSING
    if found is _NEVER:
        monotone = Crossing(np.inf, np.nan, np.nan)
    elif group.reference_curve is not None and reachable:
        monotone = crossing(curve, group.reference_curve, higher=higher)
    row["reach_monotone"] = monotone.share
    row["reach_monotone_low"], row["reach_monotone_high"] = monotone.low, monotone.high
    row["foreground_efficiency"] = foreground_efficiency(group, label) if reachable else np.nan
    rival = None if label == baseline else group.curves.get(baseline)
    saved = Speedup(np.nan) if rival is None else speedup(curve, rival, higher=higher)
    row["speedup"], row["speedup_low"], row["speedup_high"] = saved.factor, saved.low, saved.high
    row |= area_and_final(group, label)
    for regime, (low, high) in _regimes(group).items():
        row[f"aubc_{regime}"], row[f"aubc_{regime}_sd"] = mean_and_sd(area(curve.share, curve.values, low, high))
    row["final_share"] = float(curve.share[-1])
    return row


def area_and_final(group: Group, label: str) -> dict[str, float]:
    """Area under the curves of a method, and the value of the last round, with their deviations over replicates."""
    areas = np.array(list(group.areas[label].values())) if group.areas else np.array([np.nan])
    row: dict[str, float] = {}
    row["aubc"], row["aubc_sd"] = mean_and_sd(areas)
    row["final"], row["final_sd"] = mean_and_sd(group.curves[label].values[:, -1])
    return row


def _regimes(group: Group) -> dict[str, tuple[float, float]]:
    if group.range is None or group.range[0] == group.range[1]:
        return {}
    low, high = group.range
    edges = np.linspace(low, high, 4)
    return {regime: (float(edges[i]), float(edges[i + 1])) for i, regime in enumerate(REGIMES)}
