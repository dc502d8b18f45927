"""Floors: what predicting nothing, and predicting foreground everywhere, scores. No method at a floor has learned.

Predicting nothing scores 1 on a slice (or case) without foreground in its truth and 0 on any other, so its score
follows from the records exactly. Predicting everything scores 2 f / (1 + f) with f the share of foreground, which the
records do not have. They have the slice with the largest foreground of every test case, and the share of empty slices,
so f is known to be at most

    f <= (1 - share of empty slices) * (share of foreground in the largest slice)

and predicting everything scores at most what that gives. For several classes, and where labels are partly unknown, the
largest slice bounds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from albench.reports.reported_metrics import Metric, find_metric
from albench.reports.runs import Run
from albench.runs.foreground import dice_of_everything
from albench.runs.records import Metrics, RoundRecord

TOLERANCE = 0.001
"""A Dice that is higher than a floor by no more is at the floor: the two are printed alike."""


@dataclass(frozen=True)
class Floor:
    """What two networks that have learned nothing score in a metric; NaN where it does not follow from the records.

    Attributes:
        nothing: a network that predicts nothing.
        everything: one that predicts foreground in every pixel; unless `exact`, it scores at most this.
        exact: whether `everything` is its score.
    """

    nothing: float
    everything: float = math.nan
    exact: bool = False


def floor_of(runs: Sequence[Run], metric: Metric) -> Floor:
    """The floors of some runs, each split once.

    Args:
        runs: of one protocol; those of one split have the same test cases.
        metric: of one class or of all together.
    """
    splits = _by_split(runs).values()
    if metric.name.removeprefix("val_") == "empty_slice_fpr":
        return Floor(0.0, 1.0, exact=True)
    nothing = [_nothing(run, metric) for run in splits]
    return Floor(float(np.mean(nothing)), float(np.mean([_everything(run, metric) for run in splits])))


def predicts_nothing(runs: Sequence[Run], class_name: str | None) -> bool:
    """Whether the volume Dice of all runs is that of predicting nothing in every round with a query, whatever metric is
    reported; in round 0 if there is no other.
    """
    metric = find_metric("dice_volume", class_name)
    return all(metric.of(record) <= _nothing(run, metric) + TOLERANCE for run, record in _with_query(runs))


def predicts_everything(runs: Sequence[Run], class_name: str | None) -> bool:
    """Whether all runs are no better than predicting everything, in the same rounds.

    They have a prediction in every empty slice, a volume Dice that predicting everything can have, and on the slices
    whose predictions are kept no higher mean Dice than predicting everything. Only then are files read.
    """
    metric, rounds = find_metric("dice_volume", class_name), list(_with_query(runs))
    if not all(_in_every_empty_slice(metric.metrics(record)) for _, record in rounds):
        return False
    limit = {split: _everything(run, metric) + TOLERANCE for split, run in _by_split(runs).items()}
    return all(
        metric.of(record) <= limit[run.replicate.split] and _no_better(run, record.round) for run, record in rounds
    )


def _by_split(runs: Sequence[Run]) -> dict[int, Run]:
    """One run of every split: those of one split have the same test cases."""
    return {run.replicate.split: run for run in runs}


def _with_query(runs: Sequence[Run]) -> Iterator[tuple[Run, RoundRecord]]:
    """The rounds of runs after the first one, which methods share; the first one if there is no other."""
    return ((run, record) for run in runs for record in run.reader.records[1:] or run.reader.records)


def _in_every_empty_slice(metrics: Metrics | None) -> bool:
    share = None if metrics is None else metrics.empty_slice_fpr
    return share is None or math.isclose(share, 1)


def _no_better(run: Run, index: int) -> bool:
    """Whether the mean Dice of the slices whose predictions are kept is that of predicting everything, or lower."""
    return run.reader.gain_over_everything(index) <= TOLERANCE


def _nothing(run: Run, metric: Metric) -> float:
    record = run.reader.records[-1]
    found = metric.metrics(record)
    if found is None or not metric.higher:
        return math.nan
    if not metric.over_cases:
        of_slices: Mapping[str, float | None] = {"dice_slice": found.empty_slice_share, "dice_foreground": 0.0}
        value = of_slices[metric.name.removeprefix("val_")]
        return math.nan if value is None else value
    if metric.part != "test":  # records have no validation cases one by one, some of which may be empty
        return math.nan
    known = [case for case in run.reader.split.test if not math.isnan(metric.of_case(record, case))]
    return float(np.mean([metric.metrics_of_case(record, case).empty_slice_share == 1 for case in known] or [math.nan]))


def _everything(run: Run, metric: Metric) -> float:
    """The highest score that predicting everything can have; NaN where the records do not bound it."""
    if metric.part != "test" or metric.name == "nsd" or not metric.higher or len(run.reader.config.classes) > 1:
        return math.nan
    record, largest = run.reader.records[-1], run.reader.largest_foreground()
    if not record.cases:  # of a project without volumes for tests
        return math.nan
    empty = {case: metrics.empty_slice_share for case, metrics in record.cases.items()}
    if any(share is None or (case not in largest and share < 1) for case, share in empty.items()):
        return math.nan
    slices = {case: dice_of_everything(largest.get(case, 0.0)) for case in empty}
    if metric.name == "dice_volume":
        shares = [(1 - (share or 0.0)) * largest.get(case, 0.0) for case, share in empty.items()]
        return float(np.mean([dice_of_everything(share) for share in shares]))
    nonempty = 1 - (record.test.empty_slice_share or 0.0) if metric.name == "dice_slice" else 1.0
    return nonempty * max(slices.values())
