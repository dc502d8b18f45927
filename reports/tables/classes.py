"""The table of classes: what every method reaches on each of several classes."""

from __future__ import annotations

import math

from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import Cell, metric_cell
from albench.reports.tables.table import Column, Row, Table, marked
from albench.runs.scores import ALL

_TITLES = {"aubc": "AUBC", "final": "final"}
_NOTES = {
    "aubc": "AUBC: area under the curve, as in the table of efficiency.",
    "final": "Final: the last round.",
}


def class_table(results: Results, group: Group) -> Table | None:
    """AUBC and the value of the last round by class, and of all together; None for one class."""
    found = results.classes()
    found = found[found["group"] == group.name]
    if found.empty:
        return None
    metric, numbers = results.metric, found.set_index(["label", "class"])
    names = list(dict.fromkeys(found["class"]))
    together = "mean" if metric.over_classes else "all"
    better = "higher" if metric.higher else "lower"
    columns = [
        Column(f"{_TITLES[number]} {together if name == ALL else name}", better, (_NOTES[number],))
        for number in _TITLES
        for name in names
    ]
    rows = []
    for label in dict.fromkeys(found["label"]):
        cells = [
            metric_cell(metric, numbers.loc[(label, name), number], numbers.loc[(label, name), f"{number}_sd"])
            for number in _TITLES
            for name in names
        ]
        rows.append(Row((Cell(label), *cells), ranked=label in group.ranked))
    about = (
        *measured(results, group),
        "Every class is measured as if it were the only one, also in cases without it.",
        *_reference(results, group),
    )
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    title, name = f"Classes on {group.name}", f"classes-{slug(group.name)}"
    return marked(Table(name, title, (Column("Method"), *columns), tuple(rows), about, sources))


def _reference(results: Results, group: Group) -> list[str]:
    """The supervised reference of every class, if it has values."""
    values = {name: own.supervised[0] for name, own in results.by_class(group).items() if name != ALL}
    known = [f"{name} {results.metric.text(value)}" for name, value in values.items() if not math.isnan(value)]
    return [f"Supervised reference by class: {', '.join(known)}."] if known else []
