"""The table of annotation cost and computing cost."""

from __future__ import annotations

from albench.reports.captions import left_out, provenance
from albench.reports.costs import AXES, PHASES
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import COUNT, Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_MINUTES = NumberFormat(1, thousands=True, divisor=60)  # of seconds


def cost_table(results: Results, group: Group) -> Table:
    """Annotation cost of all labels after the last query, and computing cost of a whole run."""
    costs = results.costs()
    costs = costs[costs["group"] == group.name]
    last = costs[costs["round"] == costs.groupby(["label", "seed"])["round"].transform("max")]
    labels = last.groupby("label", sort=False)[list(AXES)].mean()
    seconds = [f"{phase}_seconds" for phase in PHASES]
    computing = costs.groupby(["label", "seed"], sort=False)[[*seconds, "steps"]].sum()
    computing = computing.groupby("label", sort=False).mean()
    rows = []
    for label in group.methods:
        annotation = [number_cell(labels.loc[label, axis], COUNT) for axis in AXES]
        minutes = [number_cell(computing.loc[label, name], _MINUTES) for name in seconds]
        rows.append(Row((Cell(label), *annotation, *minutes, number_cell(computing.loc[label, "steps"], COUNT))))
    annotation_titles = ("slices", "nonempty slices", "foreground pixels", "contour length [pixels]", "cases")
    titles = ("Method", *annotation_titles, *(f"{phase} [min]" for phase in PHASES), "steps")
    caption = (
        "Annotation cost of the labels of the last round, initial labels included, mean over seeds; time and optimizer "
        "steps of a whole run.",
        "Foreground pixels and contour length are measured on the working grid. A training of round 0 that strategies "
        "share is counted in the run that computed it.",
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    columns = tuple(map(Column, titles))
    return Table(f"costs-{slug(group.name)}", f"Costs on {group.name}", columns, tuple(rows), caption)
