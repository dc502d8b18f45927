"""The figure of computing time: by phase and round, and of an optimizer step."""

from __future__ import annotations

import numpy as np

from albench.reports.captions import devices_of, provenance
from albench.reports.costs import PHASES, median_step_seconds
from albench.reports.figures.style import HIGHLIGHT, Drawing, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results

_COLORS = {"fit": HIGHLIGHT, "evaluate": "#56B4E9", "query": "#E69F00"}


def time_per_round(results: Results, group: Group) -> Drawing | None:
    """Mean time of the phases of a round, and of a step; None if no run has a round after round 0.

    The time by phase is that of the CPU, unless a GPU computed or the records do not have it. It is then time on the
    clock, which other processes prolong.
    """
    costs = results.costs()
    costs = costs[(costs["group"] == group.name) & (costs["round"] > 0)]
    if costs.empty:
        return None
    rounds = costs.groupby("label", sort=False)
    cpu = not _on_gpu(group) and not costs[[f"{phase}_cpu_seconds" for phase in PHASES]].isna().any(axis=None)
    labels = list(costs["label"].unique())
    steps = np.array([1000 * median_step_seconds(group.methods[label]) for label in labels])
    figure = new_figure(1.1 + 0.24 * len(labels))
    panels = subplots(figure, 1, 1 if np.isnan(steps).all() else 2, sharey=True)[0]
    start = np.zeros(len(labels))
    for phase in PHASES:
        lengths = rounds[f"{phase}_cpu_seconds" if cpu else f"{phase}_seconds"].mean().to_numpy()
        panels[0].barh(labels, lengths, left=start, color=_COLORS[phase], label=phase, height=0.65)
        start = start + lengths
    panels[0].invert_yaxis()
    panels[0].set_xlabel("CPU time per round, all threads [s]" if cpu else "time per round [s]")
    for ax in panels[1:]:
        ax.barh(labels, steps, color=_COLORS["fit"], height=0.65)
        ax.set_xlabel("time per optimizer step [ms]")
    for ax in panels:
        ax.grid(axis="y", visible=False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    step = "By step: median over the epochs of fit after round 0, each with the validation after it."
    caption = (
        f"By round: mean over runs and rounds after round 0, whose training strategies share, on "
        f"{', '.join(devices_of(group.runs))}. The time of a query includes the second training of methods that have "
        "one.",
        *([] if cpu else ["It is time on the clock, which other processes on the machine prolong."]),
        *([step] if len(panels) > 1 else []),
        *provenance(results, group),
    )
    return Drawing(f"time-{slug(group.name)}", f"Time per round on {group.name}", caption, figure)


def _on_gpu(group: Group) -> bool:
    """Whether any round was computed on a GPU."""
    records = (record for run in group.runs for record in run.reader.records)
    return any(record.cost.peak_device_memory is not None for record in records)
