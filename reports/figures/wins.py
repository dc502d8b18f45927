"""The figure of wins: how often each method is better than each other one."""

from __future__ import annotations

import math

import numpy as np

from albench.reports.captions import not_ranked, provenance
from albench.reports.figures.style import WIDTH, Drawing, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results

_NUMBERED = 12  # of more methods the numbers are too small to read


def win_matrix(results: Results, group: Group) -> Drawing | None:
    """How often the row is better than the column, the best method first; None for a single method."""
    order = [*group.ranking, *(label for label in group.methods if label not in group.ranking)]
    table = results.wins(group.name).loc[order, order]
    if len(table) < 2 or table.isna().all(axis=None):
        return None
    width = min(WIDTH, 2.5 + 0.42 * len(table))
    figure = new_figure(width - 0.9, width)
    ax = subplots(figure, 1, 1)[0][0]
    image = ax.imshow(table.to_numpy(), cmap="PuOr_r", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if len(table) <= _NUMBERED and not math.isnan(value):
            ink = "white" if abs(value - 0.5) > 0.3 else "#131416"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    size = 7 if len(table) <= _NUMBERED else 6
    ax.set_xticks(range(len(table)), table.columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    ax.set_yticks(range(len(table)), table.index, fontsize=size)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("... than this one")
    ax.set_ylabel("this method is better ...")
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of runs and rounds")
    caption = (
        f"Share of pairs of runs and rounds, without round 0, in which the row has the better {results.metric.title}; "
        "ties count half. The rounds of a run depend on each other, so this is not a test. Methods are sorted by mean "
        "AUBC, those that are not ranked last.",
        *not_ranked(group),
        *provenance(results, group),
    )
    return Drawing(f"wins-{slug(group.name)}", f"Wins on {group.name}", caption, figure)
