"""Underconfident networks: nearly as good as others, at a threshold below 0.5.

A network that has learned nothing may have such a threshold too, below which it predicts everything. It is no better
than that there, and is not called underconfident.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from albench.errors import counted
from albench.reports.floors import TOLERANCE, floor_of
from albench.reports.group import Group
from albench.reports.reported_metrics import find_metric
from albench.reports.runs import Run
from albench.runs.records import RoundRecord

GAP = 0.05
"""Gain in volume Dice at the best validation threshold from which on a network is called underconfident."""


def underconfident(group: Group) -> list[str]:
    """A sentence about round 0 and one about the last round, if any network is underconfident there.

    None for several classes, whose confidence is that of one foreground and whose Dice is a mean.
    """
    if len(group.classes) > 1:
        return []
    return [*_warnings(group, 0, "In round 0"), *_warnings(group, -1, "In the last round")]


def _warnings(group: Group, index: int, when: str) -> Iterator[str]:
    runs = [run for run in group.runs if len(run.reader.records) > (1 if index else 0)]
    found = [(run, pair) for run in runs if (pair := _gap(run.reader.records[index])) is not None]
    pairs = [pair for run, pair in found if _learned(run, pair[0])]
    if pairs:
        best, at_half = np.mean(pairs, axis=0)
        verb, their = ("is", "its") if len(pairs) == 1 else ("are", "their")
        those = f"{len(pairs)} of {counted(len(runs), 'run')} {verb}"
        yield (
            f"{when}, {those} underconfident: at the threshold chosen on the validation cases {their} volume Dice is "
            f"{best:.3f} instead of {at_half:.3f}."
        )


def _learned(run: Run, dice: float) -> bool:
    """Whether a volume Dice is higher than that of predicting everything can be, as far as that is known."""
    return not dice <= floor_of([run], find_metric("dice_volume", None)).everything + TOLERANCE


def _gap(record: RoundRecord) -> tuple[float, float] | None:
    """Volume Dice of the test cases at the best validation threshold and at 0.5, if the former is clearly higher."""
    found, at_half = record.confidence, record.test.dice_volume
    if found.threshold is None or found.test_dice is None or at_half is None:
        return None
    return (found.test_dice, at_half) if found.threshold < 0.5 and found.test_dice - at_half > GAP else None
