"""The figure of query positions: where in the volumes each method queries slices."""

from __future__ import annotations

import math

import numpy as np

from albench.reports.captions import provenance
from albench.reports.figures.style import HIGHLIGHT, INK, Drawing, new_figure, small_multiples, wrapped
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run

_BINS = 10


def query_positions(results: Results, group: Group) -> Drawing:
    """A histogram of the relative positions of all queried slices for each method."""
    columns = min(4, len(group.methods))
    rows = math.ceil(len(group.methods) / columns)
    figure = new_figure(1.2 * rows + 0.5)
    titles = "position from bottom to top", "queries [%]"
    panels = small_multiples(figure, len(group.methods), columns, titles)
    edges = np.linspace(0, 1, _BINS + 1)
    for ax, (label, runs) in zip(panels, group.methods.items(), strict=True):
        counts = np.histogram([position for run in runs for position in _positions(run)], edges)[0]
        ax.stairs(100 * counts / max(1, counts.sum()), edges, fill=True, color=HIGHLIGHT)
        ax.axhline(100 / _BINS, color=INK, linewidth=0.8, linestyle="--")
        ax.set_title(wrapped(label), fontsize=7)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    caption = (
        "Positions of all queried slices in their volumes, over all runs and rounds, without the initial labels. "
        "Dashed: a uniform distribution.",
        *provenance(results, group),
    )
    return Drawing(f"positions-{slug(group.name)}", f"Query positions on {group.name}", caption, figure)


def _positions(run: Run) -> list[float]:
    """The center of every queried slice within its volume, from 0 to 1."""
    depths = run.reader.split.slices
    queries = [run.reader.query(index) for index in range(len(run.reader.records) - 1)]
    return [(one.position + 0.5) / depths[one.case] for query in queries for one in query.slices]
