"""Trainings that were still improving at the last epoch that they were allowed: more might change their results."""

from __future__ import annotations

from collections.abc import Iterable

from albench.reports.group import Group
from albench.reports.runs import Run
from albench.runs.unfinished import unfinished


def unfinished_trainings(group: Group) -> list[str]:
    """How many trainings of a group were unfinished, if any."""
    found, total = _counted(group.runs)
    were = "was" if found == 1 else "were"
    sentence = f"Caution: {found} of {total} trainings {were} still improving at the last allowed epoch"
    return [f"{sentence}: raise training.epochs."] if found else []


def unfinished_reference(group: Group) -> list[str]:
    """That S% is too good, if the training of the supervised reference was unfinished."""
    found, total = _counted(group.reference)
    if not found:
        return []
    return [
        f"Caution: the supervised reference was still improving at the last allowed epoch in {found} of {total} "
        "trainings, so it is reached too early and S% is too low: raise training.epochs."
    ]


def _counted(runs: Iterable[Run]) -> tuple[int, int]:
    """Unfinished trainings, and all of them."""
    marks = [
        mark
        for run in runs
        for record in run.reader.records
        for mark in unfinished(run.reader.config, (*record.fit_trainings, *record.query_trainings))
    ]
    return sum(marks), len(marks)
