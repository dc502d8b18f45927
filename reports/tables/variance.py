"""The table of variance parts: how much AUBC varies by splits and by seeds."""

from __future__ import annotations

import math

from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.replicates import splits_of
from albench.reports.results import Results
from albench.reports.tables.cells import Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_PARTS = "Splits, seeds: between them, by the method of moments, where a negative variance counts as 0."
_TOGETHER = "Split and seed: what both have only together."


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
    columns = (
        Column("Method"),
        Column("all runs"),
        *(Column(title, notes=(_PARTS,)) for title in ("splits", "seeds")),
        Column("split and seed", notes=(_PARTS, _TOGETHER)),
    )
    about = (
        *measured(results, group),
        "Standard deviations of AUBC.",
        *_inseparable(group, [row["label"] for _, row in found.iterrows() if math.isnan(row["seed"])]),
    )
    title, name = f"Variance of AUBC on {group.name}", f"variance-{slug(group.name)}"
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    return Table(name, title, columns, tuple(rows), about, sources)


def _inseparable(group: Group, labels: list[str]) -> list[str]:
    """Why splits and seeds of some methods cannot be separated."""
    own = {label: list(group.areas[label]) for label in labels}
    single = [label for label, runs in own.items() if len(runs) == len(splits_of(runs))]
    missing = [label for label in labels if label not in single]
    sentences = [
        (single, "Every run of {} has a split of its own, so that splits and seeds cannot be separated."),
        (missing, "Not every seed of {} has a run on every split, so that splits and seeds cannot be separated."),
    ]
    return [sentence.format(", ".join(named)) for named, sentence in sentences if named]
