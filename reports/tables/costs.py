"""The table of annotation cost, training and computing time."""

from __future__ import annotations

from albench.reports.captions import left_out, provenance, validation_labels
from albench.reports.costs import AXES, PHASES
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import COUNT, Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_MINUTES = NumberFormat(1, thousands=True, divisor=60)  # of seconds
_TRAINING = {"steps": "steps", "slices_read": "slices read"}


def cost_table(results: Results, group: Group) -> Table:
    """Annotation cost after the last query, training behind the last evaluated network, and time of a whole run."""
    costs = results.costs()
    costs = costs[costs["group"] == group.name]
    runs = ["label", "seed", "split"]
    last = costs[costs["round"] == costs.groupby(runs)["round"].transform("max")]
    means = last.groupby("label", sort=False)[[*AXES, *_TRAINING]].mean()
    seconds = [f"{phase}_seconds" for phase in PHASES]
    times = costs.groupby(runs, sort=False)[seconds].sum().groupby("label", sort=False).mean()
    rows = []
    for label in group.methods:
        counts = [number_cell(means.loc[label, name], COUNT) for name in (*AXES, *_TRAINING)]
        minutes = [number_cell(times.loc[label, name], _MINUTES) for name in seconds]
        rows.append(Row((Cell(label), *counts, *minutes)))
    annotation_titles = ("slices", "nonempty slices", "foreground pixels", "contour length [pixels]", "cases")
    titles = ("Method", *annotation_titles, *_TRAINING.values(), *(f"{phase} [min]" for phase in PHASES))
    caption = (
        "Annotation cost of the labels of the last round, initial labels included, mean over runs.",
        validation_labels(group),
        "Foreground pixels and contour length are measured on the working grid.",
        "Steps: optimizer steps of all trainings behind the last evaluated network, a shared training of round 0 "
        "included; slices read: labeled, pseudo-labeled and unlabeled slices in these steps, each time counted.",
        "Time of a whole run; a shared training of round 0 is counted in the run that computed it.",
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    columns = tuple(map(Column, titles))
    return Table(f"costs-{slug(group.name)}", f"Costs on {group.name}", columns, tuple(rows), caption)
