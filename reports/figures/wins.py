"""The figure of wins: how often each method is better than each other one."""

from __future__ import annotations

import math

import numpy as np

from albench.reports.captions import provenance
from albench.reports.figures.style import Drawing, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results


def win_matrix(results: Results, group: Group) -> Drawing | None:
    """How often the row is better than the column; None for a single method."""
    table = results.wins(group.name)
    if len(table) < 2 or table.isna().all(axis=None):
        return None
    side = 1.6 + 0.42 * len(table)
    figure = new_figure(side, side + 0.9)
    ax = subplots(figure, 1, 1)[0][0]
    image = ax.imshow(table.to_numpy(), cmap="PuOr_r", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if not math.isnan(value):
            ink = "white" if abs(value - 0.5) > 0.3 else "#131416"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    ax.set_xticks(range(len(table)), table.columns, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(table)), table.index)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("... than this one")
    ax.set_ylabel("this method is better ...")
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of runs and rounds")
    caption = (
        f"Share of pairs of runs and rounds, without round 0, in which the row has the better {results.metric.title}; "
        "ties count half. The rounds of a run depend on each other, so this is not a test.",
        *provenance(results, group),
    )
    return Drawing(f"wins-{slug(group.name)}", f"Wins on {group.name}", caption, figure)
