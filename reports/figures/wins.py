"""The figure of wins: how often each method is better than each other one."""

from __future__ import annotations

from albench.reports.captions import not_ranked, provenance
from albench.reports.figures.matrix import draw_matrix
from albench.reports.figures.style import Drawing
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results

_NUMBERED = 12  # of more methods the numbers are too small to read


def win_matrix(results: Results, group: Group) -> Drawing | None:
    """How often the row is better than the column, the best method first; None for a single method."""
    table = results.wins(group.name).loc[group.best_first, group.best_first]
    if len(table) < 2 or table.isna().all(axis=None):
        return None
    figure, ax = draw_matrix(
        table,
        cmap="PuOr_r",
        highest=1,
        numbered=_NUMBERED,
        number=".2f",
        dark=lambda value: abs(value - 0.5) > 0.3,
        legend="share of runs and rounds",
    )
    ax.set_xlabel("... than this one")
    ax.set_ylabel("this method is better ...")
    caption = (
        f"Share of pairs of runs and rounds, without round 0, in which the row has the better {results.metric.title}; "
        "ties count half. The rounds of a run depend on each other, so this is not a test. Methods are sorted by mean "
        "AUBC, those that are not ranked last.",
        *not_ranked(group),
        *provenance(results, group),
    )
    return Drawing(f"wins-{slug(group.name)}", f"Wins on {group.name}", caption, figure)
