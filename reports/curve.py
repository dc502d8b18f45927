"""The learning curves of one method: a metric over the labeled share, one row per replicate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.reports.costs import labeled, share
from albench.reports.replicates import Replicate
from albench.reports.reported_metrics import Metric
from albench.reports.runs import Run

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The learning curves of one method in one group.

    Attributes:
        replicates: (n,) ascending.
        labeled: (r,) labels that count in every round, see `albench.reports.costs`; a mean where replicates differ.
        share: (r,) the same as a share of all slices that can be labeled.
        values: (n, r) of the metric, NaN where it does not exist.
    """

    replicates: tuple[Replicate, ...]
    labeled: Values
    share: Values
    values: Values

    @property
    def mean(self) -> Values:
        """(r,) mean over replicates; NaN where one of them has no value."""
        return self.values.mean(0)

    @property
    def sd(self) -> Values:
        """(r,) standard deviation over replicates with n - 1 in the denominator; NaN with one."""
        return spread(self.values)


def curve_of(runs: Sequence[Run], metric: Metric) -> Curve:
    """The curves of all runs of one method, over the rounds that all of them have."""
    runs = sorted(runs, key=lambda run: run.replicate)
    rounds = min(len(run.reader.records) for run in runs)
    return Curve(
        replicates=tuple(run.replicate for run in runs),
        labeled=_mean([labeled(run)[:rounds] for run in runs]),
        share=_mean([share(run)[:rounds] for run in runs]),
        values=np.array([[metric.of(record) for record in run.reader.records[:rounds]] for run in runs], dtype=float),
    )


def _mean(rows: Sequence[Values]) -> Values:
    """Mean of each column; of equal numbers exactly that number, which a sum divided by their count may miss."""
    table = np.array(rows)
    return np.where(np.ptp(table, axis=0) == 0, table[0], table.mean(0))


def spread(values: Values) -> Values:
    """Standard deviation along the first axis with n - 1 in the denominator; NaN for a single value."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(0, ddof=1)
