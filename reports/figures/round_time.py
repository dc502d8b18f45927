"""The figure of computing time per round."""

from __future__ import annotations

import numpy as np

from albench.reports.captions import devices_of, provenance
from albench.reports.costs import PHASES
from albench.reports.figures.style import Drawing, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results

_COLORS = {"fit": "#0072B2", "evaluate": "#56B4E9", "query": "#E69F00"}


def time_per_round(results: Results, group: Group) -> Drawing | None:
    """Mean seconds of the phases of a round; None if no run has a round after round 0."""
    costs = results.costs()
    costs = costs[(costs["group"] == group.name) & (costs["round"] > 0)]
    means = costs.groupby("label", sort=False)[[f"{phase}_seconds" for phase in PHASES]].mean()
    if means.empty:
        return None
    figure = new_figure(0.9 + 0.24 * len(means))
    ax = subplots(figure, 1, 1)[0][0]
    start = np.zeros(len(means))
    for phase in PHASES:
        lengths = means[f"{phase}_seconds"].to_numpy()
        ax.barh(list(means.index), lengths, left=start, color=_COLORS[phase], label=phase, height=0.65)
        start = start + lengths
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("time per round [s]")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    caption = (
        "Mean over runs and rounds after round 0, whose training strategies share, on "
        f"{', '.join(devices_of(group.runs))}. The time of a query includes the second training of methods that have "
        "one.",
        *provenance(results, group),
    )
    return Drawing(f"time-{slug(group.name)}", f"Time per round on {group.name}", caption, figure)
