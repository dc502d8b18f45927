"""The table of variance parts: how much AUBC varies by splits and by seeds."""

from __future__ import annotations

import math

from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table


def variance_table(results: Results, group: Group) -> Table | None:
    """Standard deviations of AUBC by part; None with one split."""
    found = results.variances()
    found = found[found["group"] == group.name]
    if found.empty:
        return None
    form = NumberFormat(group.metric.decimals + 1)
    rows = [
        Row((Cell(row["label"]), *(number_cell(row[name], form) for name in ("total", "split", "seed", "run"))))
        for _, row in found.iterrows()
    ]
    inseparable = "Every run has a split of its own, so that splits and seeds cannot be separated."
    caption = (
        *measured(results, group),
        "Standard deviations of AUBC: of all runs; between splits and between seeds, and what a split and a seed have "
        "only together, by the method of moments, where a negative variance counts as 0.",
        *([inseparable] if all(math.isnan(value) for value in found["seed"]) else []),
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    columns = tuple(map(Column, ("Method", "all runs", "splits", "seeds", "split and seed")))
    return Table(f"variance-{slug(group.name)}", f"Variance of AUBC on {group.name}", columns, tuple(rows), caption)
