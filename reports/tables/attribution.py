"""The table of attribution: what query and training contribute to the difference to random."""

from __future__ import annotations

import math

import pandas as pd

from albench.reports.arms import query_note
from albench.reports.attribution import is_unequal
from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import MISSING, Cell, Interval, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_DIFFERENCE = NumberFormat(4, sign=True)
_RATIO = NumberFormat(2)
_PART = (
    "Query: a query minus a random one, both with the training of the method, or both with supervised training; "
    "training: that of the method minus supervised training, both with a random query; both: the method minus a random "
    "query with supervised training; pseudo-labels: the method minus the same without them; interaction: query minus "
    "query, supervised, which the two gain only together. Parts whose arms are not in the group are left out."
)


def attribution_table(results: Results, group: Group) -> Table | None:
    """Query, training and both, for every method whose arms are in the group; None without any."""
    found = results.attribution()
    found = found[found["group"] == group.name]
    if found.empty:
        return None
    rows = [Row((Cell(row["label"]), Cell(row["part"]), *_cells(row))) for _, row in found.iterrows()]
    unit = found["unit"].iloc[0]
    difference = (
        f"Difference: mean {unit} by {unit}, positive where the arm is better"
        f"{'' if found['low'].isna().all() else ', with a 95 % t interval'}."
    )
    over_cases = (
        f"95 % over cases: interval of the difference when {unit}s and test cases are drawn anew, both in pairs."
    )
    columns = (
        Column("Method"),
        Column("part", notes=(_PART,)),
        *map(Column, ("arm", "against")),
        Column("difference in AUBC", notes=(difference,)),
        Column("95 % over cases", notes=(over_cases,)),
        Column("ratio of steps", notes=_steps(found)),
    )
    sources = (
        *dict.fromkeys(note for label in found["method"] if (note := query_note(group.methods[label]))),
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    title, name = f"Attribution on {group.name}", f"attribution-{slug(group.name)}"
    return Table(name, title, columns, tuple(rows), tuple(measured(results, group)), sources)


def _cells(row: pd.Series) -> list[Cell]:
    return [
        Cell(row["method"]),
        Cell(row["rival"]),
        number_cell(row["gain"], _DIFFERENCE, _interval(row["low"], row["high"])),
        _interval_cell(row["cases_low"], row["cases_high"]),
        number_cell(row["steps_ratio"], _RATIO),
    ]


def _interval(low: float, high: float) -> Interval | None:
    return None if math.isnan(low) else Interval(low, high, _DIFFERENCE)


def _interval_cell(low: float, high: float) -> Cell:
    interval = _interval(low, high)
    return Cell(MISSING) if interval is None else Cell(interval.text)


def _steps(found: pd.DataFrame) -> tuple[str, ...]:
    """Whether all parts are between methods that took equally many optimizer steps."""
    if not found["steps_ratio"].map(is_unequal).any():
        return ()
    return (
        "Caution: where the ratio of optimizer steps is not 1, the difference is also that of more or fewer steps.",
    )
