"""The table of pseudo-labels: how many a method has, and how good they are by the hidden truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from albench.reports.captions import left_out, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.tables.cells import COUNT, SHARE, Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_DICE = NumberFormat(3)
_WITH_FOREGROUND = "With foreground: slices with foreground in the truth, of the rounds that have any."


def pseudo_label_table(results: Results, group: Group) -> Table | None:
    """Number, share of empty ones and Dice, for every method with pseudo-labels; None without any."""
    rows = [row for label, runs in group.methods.items() if (row := _row(label, runs)) is not None]
    if not rows:
        return None
    classes = about_classes(group)
    columns = (
        Column("Method"),
        Column("pseudo-labels"),
        Column("empty", notes=("Empty: the share without any foreground.",)),
        Column("slice Dice", notes=("Two empty masks have a slice Dice of 1.", *classes)),
        Column("slice Dice with foreground", notes=(_WITH_FOREGROUND, *classes)),
    )
    about = (
        "Pseudo-labels that the network is trained on, mean over runs and rounds after round 0, by the hidden truth.",
    )
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    name = f"pseudo-labels-{slug(group.name)}"
    return Table(name, f"Pseudo-labels on {group.name}", columns, tuple(rows), about, sources)


def about_classes(group: Group) -> tuple[str, ...]:
    """How pseudo-labels of several classes are compared with the truth."""
    if len(group.classes) == 1:
        return ()
    return (
        f"The slice Dice of the classes {', '.join(group.classes)} is the mean over those that occur in the truth of a "
        "slice; records hold it for all of them together.",
    )


def _row(label: str, runs: Sequence[Run]) -> Row | None:
    masks = [record.pseudo for run in runs for record in run.reader.records if record.round > 0]
    if not any(quality.count for quality in masks):
        return None
    cells = (
        Cell(label),
        number_cell(_mean([quality.count for quality in masks]), COUNT),
        number_cell(_mean([quality.empty_share for quality in masks]), SHARE),
        number_cell(_mean([quality.dice for quality in masks]), _DICE),
        number_cell(_mean([quality.dice_foreground for quality in masks]), _DICE),
    )
    return Row(cells)


def _mean(values: Sequence[float | None]) -> float:
    """Mean of the values that exist; NaN without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan
