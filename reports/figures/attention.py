"""Attention maps of STAR (Fig. 3a of its paper)."""

from __future__ import annotations

import numpy as np

from albench.reports.captions import provenance
from albench.reports.efficiency import at_share
from albench.reports.figures.imaging import show_gray
from albench.reports.figures.masks import (
    about_unknown,
    draw_mask,
    figure_of_masks,
    in_words,
    prediction_contours,
    truth_contours,
)
from albench.reports.figures.style import Drawing, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.runs.array_files import Arrays

_SHARE = 0.20  # labeled, at which attention is shown


def attention(results: Results, group: Group) -> list[Drawing]:
    """Fig. 3a: attention of unlabeled slices to labeled ones, for every method that keeps it."""
    drawings = []
    for label, runs in group.methods.items():
        run = min(runs, key=lambda one: one.replicate)
        rounds = len(run.reader.records)
        nearest = at_share(group.curves[label], _SHARE)
        index = min(rounds - 2, rounds if nearest is None else nearest)
        arrays = run.reader.arrays(index) if index >= 0 else {}
        if "attention_0_ids" in arrays:
            drawings.append(_attention(results, group, run, index, arrays))
    return drawings


def _attention(results: Results, group: Group, run: Run, index: int, arrays: Arrays) -> Drawing:
    count = sum(name.startswith("attention_") and name.endswith("_ids") for name in arrays)
    names = group.classes
    figure = figure_of_masks(names, 2.1 * count)
    image, shown = None, []
    for number, axes in enumerate(subplots(figure, count, 3)):
        part = {
            name: arrays[f"attention_{number}_{name}"]
            for name in ("ids", "positions", "images", "masks", "weights", "stride")
        }
        masks = part["masks"].astype(np.uint8)
        unlabeled, positions = int(part["positions"][0]), part["positions"][1:].astype(int)
        weights = part["weights"].astype(np.float64)
        below, above = int(positions.argmin()), int(positions.argmax())
        show_gray(axes[1], part["images"][0].astype(np.uint8), 1.0)
        draw_mask(axes[1], masks[0], prediction_contours(len(names)))
        axes[1].set_title(f"slice {unlabeled}, unlabeled")
        for ax, memory in ((axes[0], below), (axes[2], above)):
            own = part["images"][memory + 1].astype(np.uint8)
            height, width = weights.shape[1:] * part["stride"].astype(np.float64)
            show_gray(ax, own, 1.0)
            view = ax.get_xlim(), ax.get_ylim()
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            image = ax.imshow(
                100 * weights[memory],
                extent=extent,
                alpha=0.45,
                interpolation="bilinear",
                vmin=0,
                vmax=100 * weights.max(),
                cmap="viridis",
            )
            ax.set(xlim=view[0], ylim=view[1])
            draw_mask(ax, masks[memory + 1], truth_contours(len(names)))
            shown.append(masks[memory + 1])
            ax.set_title(f"slice {positions[memory]}, labeled: {weights[memory].sum():.0%} of attention")
        figure.colorbar(image, ax=axes[2], shrink=0.85, label="attention [%]")
    share = run.reader.records[index].share
    caption = (
        f"Attention of {run.title}, in round {index} with {share:.1%} labeled, averaged over the foreground of the "
        "slice in the middle, on the first and the last labeled slice of its group; it sums to 100 % over all labeled "
        f"slices of the group. {in_words(len(names), 'labels', 'pseudo-label')}. After Fig. 3a of Ma et al., MICCAI "
        "2025, without the truth of the unlabeled slice, because it was not annotated.",
        *about_unknown(shown),
        *provenance(results, group),
    )
    name = f"attention-{slug(run.label)}-{slug(group.name)}"
    return Drawing(name, f"Attention of {run.label} on {group.name}", caption, figure)
