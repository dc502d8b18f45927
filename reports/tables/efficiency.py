"""The table of label efficiency: stricter forms of S%, what labels are worth, and areas under the learning curves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from albench.reports.captions import left_out, measured, provenance
from albench.reports.curve_numbers import REGIMES
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.replicates import splits_of, units
from albench.reports.results import Results
from albench.reports.tables.cells import SHARE, Cell, Interval, NumberFormat, metric_cell, number_cell, reach_cell
from albench.reports.tables.table import Column, Row, Table, marked

_RATE, _FACTOR = NumberFormat(1), NumberFormat(2)
_AREAS = {f"aubc_{regime}": f"AUBC {regime}" for regime in REGIMES}


def efficiency_table(results: Results, group: Group) -> Table:
    """Forms of S%, what labels are worth, and areas under the learning curves."""
    metric, numbers = results.metric, _of(results.efficiency(), group)
    better = "higher" if metric.higher else "lower"
    extreme = "max" if metric.higher else "min"
    runs = "runs" if _several_splits(group) else "seeds"
    columns = (
        Column("Method"),
        *(Column(title, "lower") for title in ("S%", "monotone", "sustained", f"within {results.margin:g}")),
        Column(f"median of {runs}", "lower"),
        Column(runs),
        Column("speed-up"),
        Column("foreground efficiency", "higher"),
        Column(f"{extreme}(p) of {metric.title}", better),
        Column(f"bias of {extreme}(p) of {metric.title}"),
        *(Column(title, better) for title in (f"mean of {extreme}", "AUBC", *_AREAS.values(), "final")),
    )
    rows = []
    for label, row in numbers.iterrows():
        cells = (
            Cell(str(label)),
            reach_cell(row["reach"]),
            _interval_cell(row, "reach_monotone"),
            *(reach_cell(row[name]) for name in ("reach_sustained", "reach_near")),
            _interval_cell(row, "reach_median"),
            Cell("n/a" if not group.reference else f"{row['reach_replicates']:.0f} of {row['replicates']:.0f}"),
            _factor_cell(row),
            number_cell(row["foreground_efficiency"], _RATE),
            metric_cell(metric, row["max"], row["max_sd"]),
            number_cell(row["max_bias"], NumberFormat(metric.decimals + 1)),
            *(
                metric_cell(metric, row.get(name, math.nan), row.get(f"{name}_sd", math.nan))
                for name in ("mean_of_max", "aubc", *_AREAS, "final")
            ),
        )
        rows.append(Row(cells, ranked=label in group.ranked))
    caption = (
        *measured(results, group),
        *_about_reference(results, numbers, group, runs),
        *_about_baseline(results, group),
        f"{extreme}(p): of the {metric.title} of all columns here{_unlike_table_1(results)}; its bias: by how much the "
        f"best round is better than the true curve ever is, because it is selected; mean of {extreme}: best round of "
        "each run, which is biased more.",
        *_about_areas(group),
        *provenance(results, group),
        *left_out(results.collection, group.name),
    )
    title = f"Efficiency on {group.name}"
    return marked(Table(f"efficiency-{slug(group.name)}", title, columns, tuple(rows), caption))


def _about_reference(results: Results, numbers: pd.DataFrame, group: Group, runs: str) -> list[str]:
    if not group.reference:
        return []
    return [
        f"S% of {results.metric.title}{_unlike_table_1(results)}: where the mean over {runs} first reaches the "
        "reference; monotone: where the monotone regression of the mean does, with its 95 % bootstrap interval; "
        "sustained: where the mean reaches it for all later rounds; "
        f"within {results.margin:g}: where it first comes that close; median of {runs}: where the curve of each of the "
        f"{runs} first reaches it, with the 95 % bootstrap interval of the median; {runs}: how many reach it.",
        *_about_missing_intervals(numbers, group),
        "Foreground efficiency: rate at which the gap to the reference closes with the share of the foreground that "
        "is annotated.",
    ]


def _about_missing_intervals(numbers: pd.DataFrame, group: Group) -> list[str]:
    """Whether a method has no interval although it has several seeds, because the reference has one."""
    several = np.array([len(units(group.curves[label].replicates)) > 1 for label in numbers.index])
    if not (several & numbers["reach_monotone"].notna() & numbers["reach_monotone_low"].isna()).any():
        return []
    return [
        "The supervised reference has too few seeds or splits for an interval of the monotone S%: at least two are "
        "needed."
    ]


def _unlike_table_1(results: Results) -> str:
    """How S% and max(p) of this table differ from those of Table 1."""
    theirs = results.in_metric_of_paper.metric
    return "" if results.metric == theirs else f", not of {theirs.title} as in Table 1"


def _about_baseline(results: Results, group: Group) -> list[str]:
    if results.baseline not in group.methods:
        return []
    return [
        f"Speed-up: labels with which {results.baseline} reaches a value, divided by those with which the method does, "
        "with its 95 % bootstrap interval; the value is the last one of the worse of the two, and both curves are "
        "monotone."
    ]


def _about_areas(group: Group) -> list[str]:
    if group.range is None:
        return []
    low, high = group.range
    start = "from round 1" if any(len(curve.share) > 1 for curve in group.curves.values()) else "of the only round"
    return [
        f"AUBC: area under the curve {start}, {low:.1%} to {high:.1%} labeled, divided by that range; early, middle, "
        "late: the same over its thirds."
    ]


def _of(frame: pd.DataFrame, group: Group) -> pd.DataFrame:
    return frame[frame["group"] == group.name].set_index("label")


def _several_splits(group: Group) -> bool:
    return len(splits_of(run.replicate for run in group.runs)) > 1


def _interval_cell(row: pd.Series, name: str) -> Cell:
    """A share with its interval. One that is not reached is only known to lie beyond the last round."""
    share, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if math.isnan(share):
        return Cell("n/a")
    spread = None if math.isnan(low) or math.isinf(low) else Interval(low, high, SHARE)
    if math.isinf(share):
        return Cell(f"> {SHARE.text(row['final_share'])}", value=share, spread=spread)
    return Cell(value=float(share), format=SHARE, spread=spread)


def _factor_cell(row: pd.Series) -> Cell:
    """The speed-up with its interval."""
    low, high = row["speedup_low"], row["speedup_high"]
    return number_cell(row["speedup"], _FACTOR, None if math.isnan(low) else Interval(low, high, _FACTOR))
