"""The figure of query positions: where in the volumes each method queries slices."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from albench.reports.captions import provenance
from albench.reports.figures.style import INK, Drawing, LineStyle, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run

_BINS = 10


def query_positions(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Drawing:
    """A histogram of the relative positions of all queried slices for each method."""
    columns = min(4, len(group.methods))
    rows = math.ceil(len(group.methods) / columns)
    figure = new_figure(1.5 * rows + 0.3)
    grid = subplots(figure, rows, columns, sharey=True)
    panels = [ax for row in grid for ax in row]
    edges = np.linspace(0, 1, _BINS + 1)
    for ax, (label, runs) in zip(panels, group.methods.items(), strict=False):
        counts = np.histogram([position for run in runs for position in _positions(run)], edges)[0]
        ax.stairs(100 * counts / max(1, counts.sum()), edges, fill=True, color=styles[label].color, alpha=0.75)
        ax.axhline(100 / _BINS, color=INK, linewidth=0.8, linestyle="--")
        ax.set_title(label)
        ax.set_xlim(0, 1)
    for ax in panels[len(group.methods) :]:
        ax.set_axis_off()
    for row in grid:
        row[0].set_ylabel("queries [%]")
    for ax in panels[max(0, len(group.methods) - columns) : len(group.methods)]:
        ax.set_xlabel("position (0 bottom, 1 top)")
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
