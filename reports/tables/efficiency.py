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
from albench.reports.tables.table import Better, Column, Row, Table, marked

_RATE, _FACTOR = NumberFormat(1), NumberFormat(2)
_FOREGROUND_EFFICIENCY = (
    "Foreground efficiency: rate at which the gap to the reference closes with the share of the foreground that is "
    "annotated."
)
_AREAS = [f"aubc_{regime}" for regime in REGIMES]


def efficiency_table(results: Results, group: Group) -> Table:
    """Forms of S%, what labels are worth, and areas under the learning curves."""
    metric, numbers = results.metric, _of(results.efficiency(), group)
    better: Better = "higher" if metric.higher else "lower"
    extreme = "max" if metric.higher else "min"
    runs = "runs" if _several_splits(group) else "seeds"
    columns = (
        Column("Method"),
        *_reach_columns(results, numbers, group, runs),
        *_extreme_columns(results, extreme, better),
        *_area_columns(group, better),
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
    title, name = f"Efficiency on {group.name}", f"efficiency-{slug(group.name)}"
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    return marked(Table(name, title, columns, tuple(rows), tuple(measured(results, group)), sources))


def _reach_columns(results: Results, numbers: pd.DataFrame, group: Group, runs: str) -> list[Column]:
    """Where the reference is reached, in several forms, and what labels are worth."""
    near, median = f"within {results.margin:g}", f"median of {runs}"
    notes = {
        "S%": f"S% of {results.metric.title}{_unlike_table_1(results)}: where the mean over {runs} first reaches the "
        "reference.",
        "monotone": "Monotone: where the monotone regression of the mean reaches it, with its 95 % bootstrap interval.",
        "sustained": "Sustained: where the mean reaches it for all later rounds.",
        near: f"{near.capitalize()}: where the mean first comes that close to it.",
        median: f"{median.capitalize()}: where the curve of each of the {runs} first reaches it, with the 95 % "
        "bootstrap interval of the median.",
    }
    missing = _about_missing_intervals(numbers, group)
    return [
        *(Column(title, "lower", (note, *missing * (title == "monotone"))) for title, note in notes.items()),
        Column(runs, notes=(f"{runs.capitalize()}: how many of them reach it.",)),
        Column("speed-up", notes=(_about_baseline(results),)),
        Column("foreground efficiency", "higher", (_FOREGROUND_EFFICIENCY,)),
    ]


def _extreme_columns(results: Results, extreme: str, better: Better) -> list[Column]:
    """The best round, how much better than the true curve it is expected to be, and the best rounds of each run."""
    title = results.metric.title
    notes = {
        f"{extreme}(p) of {title}": f"{extreme}(p): of the {title} of all columns here{_unlike_table_1(results)}.",
        f"bias of {extreme}(p) of {title}": f"Bias of {extreme}(p): by how much the best round is better than the true "
        "curve ever is, because it is selected.",
        f"mean of {extreme}": f"Mean of {extreme}: best round of each run, which is biased more than {extreme}(p).",
    }
    return [Column(head, None if head.startswith("bias") else better, (note,)) for head, note in notes.items()]


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


def _about_baseline(results: Results) -> str:
    return (
        f"Speed-up: labels with which {results.baseline} reaches a value, divided by those with which the method does, "
        "with its 95 % bootstrap interval; the value is the last one of the worse of the two, and both curves are "
        "monotone."
    )


def _area_columns(group: Group, better: Better) -> list[Column]:
    """The areas under the curve, and its end."""
    low, high = group.range or (math.nan, math.nan)
    start = "from round 1" if any(len(curve.share) > 1 for curve in group.curves.values()) else "of the only round"
    area = f"AUBC: area under the curve {start}, {low:.1%} to {high:.1%} labeled, divided by that range."
    thirds = "AUBC early, middle, late: the same over its thirds."
    return [
        Column("AUBC", better, (area,)),
        *(Column(f"AUBC {regime}", better, (thirds,)) for regime in REGIMES),
        Column("final", better, ("Final: the last round.",)),
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
