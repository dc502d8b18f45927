"""The rule by which a run counts as failed. It is fixed before any result is seen, and it never drops a run."""

from __future__ import annotations

import numpy as np

from albench.reports.group import Group
from albench.reports.reported_metrics import Metric, find_metric
from albench.reports.runs import REFERENCE, Run

FAILED_SHARE = 0.5
"""A run has failed if its volume Dice in round 0 is below this share of the median of its method's runs.

A network that learns at all from the same number of labels is well above it, and one that predicts nothing is at 0.
"""


def failure_metric(group: Group) -> Metric:
    """The metric of the rule: volume Dice, of one class if the group is compared by one."""
    return find_metric("dice_volume", group.metric.class_name)


def failed(group: Group) -> list[tuple[str, int]]:
    """(label, seed) of every failed run, those of the supervised reference included."""
    metric = failure_metric(group)
    methods = group.methods | ({REFERENCE: group.reference} if group.reference else {})
    return [(label, run.seed) for label, runs in methods.items() for run in _failed(runs, metric)]


def _failed(runs: list[Run], metric: Metric) -> list[Run]:
    values = np.array([metric.of(run.reader.records[0]) for run in runs])
    known = values[~np.isnan(values)]
    limit = FAILED_SHARE * np.median(known) if len(known) else np.nan
    return [run for run, value in zip(runs, values, strict=True) if value < limit]
