"""The table of label efficiency: stricter forms of S%, and areas under the learning curves."""

from __future__ import annotations

import math

import pandas as pd

from albench.reports.captions import left_out, measured, provenance
from albench.reports.curve_numbers import REGIMES
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.tables.cells import SHARE, Cell, Interval, metric_cell, reach_cell
from albench.reports.tables.table import Column, Row, Table, marked


def efficiency_table(results: Results, group: Group) -> Table:
    """Forms of S%, and areas under the learning curves."""
    metric, numbers = results.metric, _of(results.efficiency(), group)
    better = "higher" if metric.higher else "lower"
    extreme = "mean of max" if metric.higher else "mean of min"
    columns = (
        Column("Method"),
        Column("S%", "lower"),
        Column("sustained", "lower"),
        Column(f"within {results.margin:g}", "lower"),
        Column("median of seeds", "lower"),
        Column("seeds"),
        *(Column(title, better) for title in (extreme, "AUBC", *(f"AUBC {regime}" for regime in REGIMES), "final")),
    )
    values = ("mean_of_max", "aubc", *(f"aubc_{regime}" for regime in REGIMES), "final")
    rows = []
    for label, row in numbers.iterrows():
        median = _median_cell(row)
        reached = [reach_cell(row[name]) for name in ("reach", "reach_sustained", "reach_near")]
        of = Cell("n/a" if not group.reference else f"{row['reach_seeds']:.0f} of {row['seeds']:.0f}")
        cells = [metric_cell(metric, row.get(name, math.nan), row.get(f"{name}_sd", math.nan)) for name in values]
        rows.append(Row((Cell(str(label)), *reached, median, of, *cells), ranked=label in group.complete))
    caption = [*measured(results, group)]
    if group.reference:
        caption.append(
            "S%: where the mean over seeds first reaches the reference; sustained: where it reaches it for all later "
            f"rounds; within {results.margin:g}: where it first comes that close; median of seeds: where the curve of "
            "each seed first reaches it, with the 95 % bootstrap interval of the median; seeds: how many reach it."
        )
    if group.range is not None:
        low, high = group.range
        caption.append(
            f"AUBC: area under the curve from {low:.1%} to {high:.1%} labeled, divided by that range; early, middle, "
            "late: the same over its thirds."
        )
    caption.append(f"{extreme.capitalize()}: best round of each seed, optimistically biased, as noise is selected too.")
    caption += [*provenance(results, group), *left_out(results.collection, group.name)]
    title = f"Efficiency on {group.name}"
    return marked(Table(f"efficiency-{slug(group.name)}", title, columns, tuple(rows), tuple(caption)))


def _of(frame: pd.DataFrame, group: Group) -> pd.DataFrame:
    return frame[frame["group"] == group.name].set_index("label")


def _median_cell(row: pd.Series) -> Cell:
    """A median that is not reached is only known to lie beyond the last round."""
    median, low, high = row["reach_median"], row["reach_low"], row["reach_high"]
    if math.isnan(median):
        return Cell("n/a")
    spread = None if math.isnan(low) or math.isinf(low) else Interval(low, high, SHARE)
    if math.isinf(median):
        return Cell(f"> {SHARE.text(row['final_share'])}", value=median, spread=spread)
    return Cell(value=float(median), format=SHARE, spread=spread)
