"""The figure of pseudo-label quality with and without spatial aggregation (Fig. 3b of the STAR paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from albench.reports.captions import provenance
from albench.reports.costs import share, share_title
from albench.reports.figures.style import INK, Drawing, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.tables.pseudo_labels import about_classes
from albench.runs.records import MaskQuality, RoundRecord

_PANELS = (
    ("propagated", "plain", "every eighth unlabeled slice"),
    ("pseudo", "pseudo_plain", "chosen pseudo-labels"),
)
"""Names of predictions with and without aggregation, and the title of their panel."""


def pseudo_labels(results: Results, group: Group) -> list[Drawing]:
    """Fig. 3b: Dice of pseudo-labels with and without aggregation, for every method that records both."""
    drawings = [_aggregation(results, group, label, runs) for label, runs in group.methods.items()]
    return [drawing for drawing in drawings if drawing is not None]


def _aggregation(results: Results, group: Group, label: str, runs: Sequence[Run]) -> Drawing | None:
    records = [run.reader.records for run in runs]
    rounds = min(map(len, records))
    shares = 100 * share(runs[0])[:rounds]
    figure = new_figure(2.7)
    drawn = False
    for ax, (with_it, without, title) in zip(subplots(figure, 1, 2, sharey=True)[0], _PANELS, strict=True):
        for name, words, color in ((with_it, "aggregated", "#D55E00"), (without, "network alone", INK)):
            for foreground, line, slices in ((False, "-", "all slices"), (True, ":", "with foreground")):
                dice = [[_dice(record, name, foreground=foreground) for record in own[:rounds]] for own in records]
                values = np.array(dice)
                seen = ~np.isnan(values).any(0)
                if seen.any():
                    drawn = True
                    mean = values[:, seen].mean(0)
                    width = 1.0 if color == INK else 2.5  # so that both of two equal lines are visible
                    ax.plot(shares[seen], mean, line, color=color, marker="o", lw=width, label=f"{words}: {slices}")
        ax.set_title(title)
        ax.set_ylim(-0.04, 1.04)
        ax.set_xlabel(share_title(group.some_run))
    if not drawn:
        return None
    left = figure.axes[0]
    left.set_ylabel("mean slice Dice of predictions")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = (
        f"Predictions of {label} for unlabeled training slices against the hidden truth, mean over "
        f"{len(runs)} run{'s' if len(runs) > 1 else ''}: with spatial aggregation, and by the network alone. An empty "
        "prediction of an empty slice scores 1, so slices with foreground are shown too; a point is left out if any "
        "run has no such slice. After Fig. 3b of Ma et al., MICCAI 2025.",
        *about_classes(group),
        *provenance(results, group),
    )
    name = f"pseudo-labels-{slug(label)}-{slug(group.name)}"
    return Drawing(name, f"Pseudo-labels of {label} on {group.name}", caption, figure)


def _dice(record: RoundRecord, name: str, *, foreground: bool) -> float:
    """Dice of the predictions of this name; NaN without them."""
    quality: MaskQuality | None = record.predictions.get(name)
    value = None if quality is None else quality.dice_foreground if foreground else quality.dice
    return math.nan if value is None else value
