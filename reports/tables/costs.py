"""What labels cost an annotator, and what computing cost."""

from __future__ import annotations

import math

from albench.reports.captions import left_out, provenance
from albench.reports.costs import AXES
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.table import Cell, Column, Row, Table, slug


def cost_table(results: Results, group: Group) -> Table:
    """What all labels cost after the last purchase, and what computing cost."""
    costs = results.costs()
    costs = costs[costs["group"] == group.name]
    last = costs[costs["round"] == costs.groupby(["label", "seed"])["round"].transform("max")]
    labels = last.groupby("label", sort=False)[list(AXES)].mean()
    seconds = ["fit_seconds", "evaluate_seconds", "query_seconds"]
    computing = costs.groupby(["label", "seed"], sort=False)[[*seconds, "steps"]].sum(min_count=1)
    computing = computing.groupby("label", sort=False).mean()
    rows = []
    for label in group.methods:
        counts = [_count_cell(labels.loc[label, axis]) for axis in AXES]
        spent = computing.loc[label]
        minutes = [Cell("n/a") if math.isnan(spent[name]) else _minutes_cell(spent[name]) for name in seconds]
        rows.append(Row((Cell(label), *counts, *minutes, _count_cell(spent["steps"]))))
    short = ("slices", "with foreground", "drawn [pixels]", "outlines [pixels]", "cases")
    titles = ("Method", *short, "fit [min]", "evaluate [min]", "query [min]", "steps")
    caption = [
        "Labels of the last round's training, initial ones included, mean over seeds; time and optimizer steps of a "
        "whole run.",
        "Pixels are those of the working grid; outlines are measured along their length. A training of round 0 that "
        "several strategies share is counted where it was done.",
    ]
    if any(cell.text == "n/a" for row in rows for cell in row.cells):
        caption.append("n/a: the version that made these runs did not measure it.")
    caption += [*provenance(results, group), *left_out(results.collection, group.name)]
    columns = tuple(map(Column, titles))
    return Table(f"costs-{slug(group.name)}", f"Costs on {group.name}", columns, tuple(rows), tuple(caption))


def _count_cell(count: float) -> Cell:
    return Cell("n/a") if math.isnan(count) else Cell(f"{count:,.0f}", value=count)


def _minutes_cell(seconds: float) -> Cell:
    return Cell(f"{seconds / 60:,.1f}", value=seconds)
