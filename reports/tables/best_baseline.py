"""The table of gains over the best of the baselines that look at no image."""

from __future__ import annotations

import math

from albench.reports.best_baseline import blind_baselines
from albench.reports.captions import left_out, measured, provenance, uses_labels
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import COUNT, Cell, Interval, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_GAIN = NumberFormat(4, sign=True)
_P_VALUE = NumberFormat(3, least=0.001)


def best_baseline_table(results: Results, group: Group) -> Table | None:
    """The gain of every method over the best such baseline; None with fewer than two of them, or than two seeds."""
    found = results.best_baseline()
    found = found[found["group"] == group.name]
    if found.empty or found["units"].max() < 2:
        return None
    unit, baselines = found["unit"].iloc[0], blind_baselines(group)
    closest = (
        "Closest: the one with the highest mean, which is selected by the numbers compared; interval and p are not of "
        "it, but of the best one, whichever that is: a method beats it if it beats every one."
    )
    largest = (
        "p: the largest of the paired t tests against each baseline that the method is better (intersection-union "
        "test), made two-sided; Holm: corrected over the methods."
    )
    columns = (
        Column("Method"),
        Column("closest", notes=(closest,)),
        Column(f"{unit}s"),
        Column("gain in AUBC over the best", notes=("In brackets: 95 % interval.",)),
        *(Column(title, notes=(largest,)) for title in ("p", "p, Holm")),
    )
    rows = []
    for _, row in found.iterrows():
        interval = None if math.isnan(row["low"]) else Interval(row["low"], row["high"], _GAIN)
        gain = number_cell(row["gain"], _GAIN, interval)
        p_values = [number_cell(row[name], _P_VALUE) for name in ("p", "p_holm")]
        rows.append(Row((Cell(row["label"]), Cell(row["rival"]), number_cell(row["units"], COUNT), gain, *p_values)))
    about = (
        *measured(results, group),
        f"Baselines that look at no image: {'; '.join(baselines)}.",
        *uses_labels(group, baselines),
    )
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    title = f"Gains over the best of the baselines that look at no image, on {group.name}"
    return Table(f"best-baseline-{slug(group.name)}", title, columns, tuple(rows), about, sources)
