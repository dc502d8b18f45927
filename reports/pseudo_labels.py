"""Pseudo-labels run by run and round by round: how many, how many empty ones, and how good by the hidden truth."""

from __future__ import annotations

import math
from dataclasses import asdict, fields

from albench.reports.group import Group
from albench.runs.records import MaskQuality

COLUMNS = ("group", "label", "seed", "split", "round", *(field.name for field in fields(MaskQuality)))
"""Of the table of the rows of `pseudo_label_rows`."""


def pseudo_label_rows(group: Group) -> list[dict[str, str | float]]:
    """A row for every run and round that trained on pseudo-labels; what does not exist is NaN."""
    return [
        {"group": group.name, "label": label, **run.replicate._asdict(), "round": record.round}
        | {name: math.nan if value is None else value for name, value in asdict(record.pseudo).items()}
        for label, runs in group.methods.items()
        for run in sorted(runs, key=lambda run: run.replicate)
        for record in run.reader.records
        if record.pseudo.count
    ]
