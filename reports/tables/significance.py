"""Differences with their tests, and mean ranks."""

from __future__ import annotations

import math

import pandas as pd

from albench.reports.captions import left_out, measured, provenance
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.table import Cell, Column, Row, Table, slug


def difference_table(results: Results, group: Group, kind: str) -> Table | None:
    """Paired differences in AUBC to the baseline or to the best rival; None if there are none."""
    found = results.differences()
    if found.empty:
        return None
    found = found[(found["group"] == group.name) & (found["kind"] == kind)]
    if found.empty:
        return None
    titles = (
        "Method",
        "against",
        "seeds",
        "gain in AUBC",
        "t test p",
        "t, Holm",
        "sign-flip p",
        "sign-flip, Holm",
        "least p",
    )
    rows = []
    for _, row in found.iterrows():
        interval = "" if math.isnan(row["low"]) else f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        gain = Cell("n/a") if math.isnan(row["gain"]) else Cell(f"{row['gain']:+.4f}", interval, row["gain"])
        p_values = [_p_cell(row[name]) for name in ("t", "t_holm", "flip", "flip_holm", "least")]
        rows.append(Row((Cell(row["label"]), Cell(row["rival"]), Cell(f"{row['seeds']:.0f}"), gain, *p_values)))
    caption = (
        *measured(results, group),
        "Gain: mean of the differences seed by seed, positive where the method is better, with a 95 % t interval.",
        *_power(found),
        *(
            ["The best rival is chosen by the same numbers that are tested, so a lead over it looks surer than it is."]
            if kind == "best rival"
            else []
        ),
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    against = results.baseline if kind == "baseline" else "the best of the others"
    name = f"differences-{slug(kind)}-{slug(group.name)}"
    return Table(name, f"Differences to {against} on {group.name}", tuple(map(Column, titles)), tuple(rows), caption)


def rank_table(results: Results) -> Table | None:
    """Mean ranks of methods in every group; None if no two methods have a seed in common."""
    found = results.ranks()
    found = found[found.groupby("group")["label"].transform("count") > 1]
    if found.empty:
        return None
    rows = []
    for _, row in found.iterrows():
        interval = "n/a" if math.isnan(row["low"]) else f"{row['low']:.2f} to {row['high']:.2f}"
        cells = (
            Cell(row["group"]),
            Cell(row["label"]),
            Cell(f"{row['seeds']:.0f}"),
            Cell(f"{row['rank']:.2f}", value=row["rank"]),
            Cell(interval, value=row["low"]),
            Cell("yes" if row["may_be_first"] else "no"),
        )
        rows.append(Row(cells))
    titles = ("Group", "Method", "seeds", "mean rank", "without any one seed", "ever first")
    caption = (
        "Mean rank in AUBC over the seeds that all ranked methods of the group have, 1 for the best; its range when "
        "any one seed is left out; and whether the method has the best mean rank then or now.",
        *left_out(results.collection),
    )
    return Table("ranks", "Mean ranks", tuple(map(Column, titles)), tuple(rows), caption)


def _p_cell(p: float) -> Cell:
    if math.isnan(p):
        return Cell("n/a")
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", value=p)


def _power(found: pd.DataFrame) -> list[str]:
    """What the tests can say at all with so few seeds."""
    if found["least"].isna().all():
        return ["With one seed nothing can be tested."]
    least, tests = (
        found["least"].min(),
        len({frozenset(pair) for pair in zip(found["label"], found["rival"], strict=True)}),
    )
    corrected = min(1.0, least * tests)
    sentence = (
        f"Least p: what the sign-flip test gives at best with as many seeds; after Holm's correction over {tests} "
        f"{'test' if tests == 1 else 'tests'} it is {corrected:.3g}"
    )
    return [f"{sentence}, so no difference can be significant at 0.05 by it." if corrected > 0.05 else f"{sentence}."]
