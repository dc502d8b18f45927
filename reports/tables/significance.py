"""Tables of differences with their tests, and of mean ranks."""

from __future__ import annotations

import math

import pandas as pd

from albench.reports.attribution import not_attributable
from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import MISSING, Cell, Interval, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_GAIN = NumberFormat(4, sign=True)
_P_VALUE = NumberFormat(3, least=0.001)
_RANK = NumberFormat(2)
_UNITS = NumberFormat(0)


def difference_table(results: Results, group: Group, kind: str) -> Table | None:
    """Paired differences in AUBC from the baseline or from the best rival; None without any over two seeds or splits.

    Args:
        results: what is reported.
        group: of the results.
        kind: `baseline` or `best rival`.
    """
    found = results.differences()
    if found.empty:
        return None
    found = found[(found["group"] == group.name) & (found["kind"] == kind)]
    if found.empty or found["units"].max() < 2:
        return None
    unit = found["unit"].iloc[0]
    gain_note = (
        f"Gain: mean of the differences {unit} by {unit}, positive where the method is better, with a 95 % t interval."
    )
    cases_note = (
        f"95 % over {unit}s and cases: interval of the gain when {unit}s and test cases are drawn anew, both in pairs."
    )
    columns = (
        Column("Method"),
        Column("against"),
        Column(f"{unit}s"),
        Column("gain in AUBC", notes=(gain_note,)),
        Column(f"95 % over {unit}s and cases", notes=(cases_note,)),
        *map(Column, ("t test p", "t, Holm", "sign-flip p", "sign-flip, Holm")),
        Column("least p", notes=_power(found, unit)),
    )
    rows = []
    for _, row in found.iterrows():
        interval = None if math.isnan(row["low"]) else Interval(row["low"], row["high"], _GAIN)
        number, gain = number_cell(row["units"], _UNITS), number_cell(row["gain"], _GAIN, interval)
        cases = _interval_cell(row["cases_low"], row["cases_high"])
        p_values = [number_cell(row[name], _P_VALUE) for name in ("t", "t_holm", "flip", "flip_holm", "least")]
        rows.append(Row((Cell(row["label"]), Cell(row["rival"]), number, gain, cases, *p_values)))
    selected = "The best rival is selected by the numbers that are tested; the tests do not account for this selection."
    about = (*measured(results, group), *_without_cases(group))
    sources = (
        *not_attributable(group, zip(found["label"], found["rival"], strict=True)),
        *([selected] if kind == "best rival" else []),
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    against = results.baseline if kind == "baseline" else "the best of the others"
    name = f"differences-{slug(kind)}-{slug(group.name)}"
    return Table(name, f"Differences to {against} on {group.name}", columns, tuple(rows), about, sources)


def rank_table(results: Results) -> Table | None:
    """Mean ranks of methods in every group; None if no two methods share two seeds, or splits."""
    found = results.ranks()
    found = found[found["units"] > 1]
    found = found[found.groupby("group")["label"].transform("count") > 1]
    if found.empty:
        return None
    rows = []
    for _, row in found.iterrows():
        cells = (
            Cell(row["label"]),
            Cell(row["group"]),
            number_cell(row["units"], _UNITS),
            number_cell(row["rank"], _RANK),
            _range_cell(row["low"], row["high"]),
            Cell("yes" if row["may_be_first"] else "no"),
        )
        rows.append(Row(cells))
    unit = " or ".join(sorted(set(found["unit"])))
    units = " or ".join(f"{one}s" for one in sorted(set(found["unit"])))
    notes = {
        "mean rank": f"Mean rank: in AUBC over the {units} that all ranked methods of the group share, 1 for the best.",
        f"without any one {unit}": f"Without any one {unit}: its range when any one {unit} is left out.",
        "ever first": f"Ever first: whether the method has the best mean rank over all {units} or without one.",
    }
    columns = (
        *map(Column, ("Method", "Group", units)),
        *(Column(title, notes=(note,)) for title, note in notes.items()),
    )
    return Table("ranks", "Mean ranks", columns, tuple(rows), sources=tuple(left_out(results.collection)))


def _range_cell(low: float, high: float) -> Cell:
    return Cell(MISSING) if math.isnan(low) else Cell(f"{_RANK.text(low)} to {_RANK.text(high)}", value=low)


def _interval_cell(low: float, high: float) -> Cell:
    return Cell(MISSING) if math.isnan(low) else Cell(f"[{_GAIN.text(low)}, {_GAIN.text(high)}]", value=low)


def _without_cases(group: Group) -> list[str]:
    """Why there is no interval over cases, if the metric has none."""
    if group.metric.over_cases and group.metric.part == "test":
        return []
    return [f"The {group.metric.axis} is not a mean over test cases, so it has no interval over them."]


def _power(found: pd.DataFrame, unit: str) -> tuple[str, ...]:
    """What the tests can show with the number of seeds or splits."""
    if found["least"].isna().all():
        return ()
    tests = len({frozenset(pair) for pair in zip(found["label"], found["rival"], strict=True)})
    corrected = min(1.0, found["least"].min() * tests)
    sentence = (
        f"Least p: the lowest p that the sign-flip test can give with this number of {unit}s; after Holm's correction "
        f"over {tests} {'test' if tests == 1 else 'tests'} it is {corrected:.3g}"
    )
    return (f"{sentence}, so no difference can be significant at 0.05 by it." if corrected > 0.05 else f"{sentence}.",)
