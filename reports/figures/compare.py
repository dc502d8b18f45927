"""How often methods win, where they ask, how good pseudo-labels are, and how long everything takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from albench.reports.captions import devices_of, provenance
from albench.reports.costs import PHASES, asked_slices, initial_slices
from albench.reports.figures.style import INK, Drawing, LineStyle, new_figure, subplots
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.tables.table import slug

_BINS = 10
_PHASE_COLORS = {"fit": "#0072B2", "evaluate": "#56B4E9", "query": "#E69F00"}
_AGGREGATION = (
    ("propagated", "plain", "every eighth unlabeled slice"),
    ("pseudo", "pseudo_plain", "chosen pseudo-labels"),
)


def win_matrix(results: Results, group: Group) -> Drawing | None:
    """How often the row beats the column; None for a single method."""
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
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of seeds and rounds")
    caption = (
        f"Share of pairs of seed and round, without round 0, in which the row has the better {results.metric.title}; "
        "ties count half. Rounds of a run depend on each other, so this is no test.",
        *provenance(results, group),
    )
    return Drawing(f"wins-{slug(group.name)}", f"Wins on {group.name}", caption, figure)


def positions(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Drawing | None:
    """Where in the volumes each method asked; None if the depths of the volumes are not known."""
    depths = _depths([*group.runs, *group.reference])
    if depths is None:
        return None
    columns = min(4, len(group.methods))
    rows = math.ceil(len(group.methods) / columns)
    figure = new_figure(1.5 * rows + 0.3)
    grid = subplots(figure, rows, columns, sharey=True)
    places = [ax for row in grid for ax in row]
    edges = np.linspace(0, 1, _BINS + 1)
    for ax, (label, runs) in zip(places, group.methods.items(), strict=False):
        asked = [one for run in runs for index in range(len(run.records) - 1) for one in asked_slices(run, index)]
        where = [(position + 0.5) / depths[case] for case, position in asked]
        counts = np.histogram(where, edges)[0]
        ax.stairs(100 * counts / max(1, counts.sum()), edges, fill=True, color=styles[label].color, alpha=0.75)
        ax.axhline(100 / _BINS, color=INK, linewidth=0.8, linestyle="--")
        ax.set_title(label)
        ax.set_xlim(0, 1)
    for ax in places[len(group.methods) :]:
        ax.set_axis_off()
    for row in grid:
        row[0].set_ylabel("queries [%]")
    for ax in places[max(0, len(group.methods) - columns) : len(group.methods)]:
        ax.set_xlabel("position (0 bottom, 1 top)")
    caption = (
        "Positions of all queried slices in their volumes, over all seeds and rounds, without the initial labels. "
        "Dashed: as often everywhere.",
        *provenance(results, group),
    )
    return Drawing(f"positions-{slug(group.name)}", f"Where methods ask on {group.name}", caption, figure)


def pseudo_labels(results: Results, group: Group) -> list[Drawing]:
    """Fig. 3b: Dice of pseudo-labels with and without aggregation, for every method that recorded both."""
    return [
        drawing
        for label, runs in group.methods.items()
        if (drawing := _aggregation(results, group, label, runs)) is not None
    ]


def time_per_round(results: Results, group: Group) -> Drawing | None:
    """Mean seconds of the phases of a round; None if no run measured them."""
    costs = results.costs()
    costs = costs[(costs["group"] == group.name) & (costs["round"] > 0)]
    means = costs.groupby("label", sort=False)[[f"{phase}_seconds" for phase in PHASES]].mean()
    if means.empty or means.isna().all(axis=None):
        return None
    figure = new_figure(0.9 + 0.24 * len(means))
    ax = subplots(figure, 1, 1)[0][0]
    start = np.zeros(len(means))
    for phase in PHASES:
        lengths = means[f"{phase}_seconds"].fillna(0).to_numpy()
        ax.barh(list(means.index), lengths, left=start, color=_PHASE_COLORS[phase], label=phase, height=0.65)
        start = start + lengths
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("time per round [s]")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    caption = (
        "Mean over seeds and rounds after round 0, whose training strategies share, on "
        f"{', '.join(devices_of(group.runs))}. Seconds of query include a second training of methods that have one.",
        *provenance(results, group),
    )
    return Drawing(f"time-{slug(group.name)}", f"Time per round on {group.name}", caption, figure)


def _aggregation(results: Results, group: Group, label: str, runs: Sequence[Run]) -> Drawing | None:
    rounds = min(len(run.records) for run in runs)
    shares = 100 * np.array([record["share"] for record in runs[0].records[:rounds]])
    figure = new_figure(2.7)
    drawn = False
    for ax, (with_it, without, title) in zip(subplots(figure, 1, 2, sharey=True)[0], _AGGREGATION, strict=True):
        for name, words, color in ((with_it, "aggregated", "#D55E00"), (without, "network alone", INK)):
            for key, line, slices in (("dice", "-", "all slices"), ("dice_foreground", ":", "with foreground")):
                values = np.array([[_prediction(run, r, name, key) for r in range(rounds)] for run in runs])
                seen = ~np.isnan(values).any(0)
                if seen.any():
                    drawn = True
                    mean = values[:, seen].mean(0)
                    width = 1.0 if color == INK else 2.5  # lines that coincide are both seen
                    ax.plot(shares[seen], mean, line, color=color, marker="o", lw=width, label=f"{words}: {slices}")
        ax.set_title(title)
        ax.set_ylim(-0.04, 1.04)
        ax.set_xlabel("labeled slices [% of the pool]")
    if not drawn:
        return None
    left = figure.axes[0]
    left.set_ylabel("mean slice Dice of predictions")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = (
        f"Predictions of {label} for unlabeled training slices against the hidden truth, mean over "
        f"{len(runs)} seed{'s' if len(runs) > 1 else ''}: with spatial aggregation, and by the network alone. An "
        "empty slice left empty scores 1, so slices with foreground are shown too; a point is left out where some "
        "seed has no such slice. After Fig. 3b of Ma et al., MICCAI 2025.",
        *provenance(results, group),
    )
    name = f"pseudo-labels-{slug(label)}-{slug(group.name)}"
    return Drawing(name, f"Pseudo-labels of {label} on {group.name}", caption, figure)


def _prediction(run: Run, index: int, name: str, key: str) -> float:
    graded = run.records[index].get("predictions", {}).get(name, {})
    value = graded.get(key)
    return math.nan if value is None else float(value)


def _depths(runs: Sequence[Run]) -> dict[str, int] | None:
    """Slices of every training case: as written down, or as labeled at once by the supervised reference."""
    for run in runs:
        if "slices" in run.split:
            return {name: int(count) for name, count in run.split["slices"].items()}
    for run in runs:
        if run.records[0]["unlabeled"] == 0:
            depths: dict[str, int] = {}
            for case, position in initial_slices(run):
                depths[case] = max(depths.get(case, 0), position + 1)
            return depths
    return None
