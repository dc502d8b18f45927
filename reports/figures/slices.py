"""Figures of slices: segmentations of methods side by side (Fig. 2 of the STAR paper), and the first queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from albench.masks import UNKNOWN, foreground
from albench.reports.captions import provenance
from albench.reports.efficiency import at_share
from albench.reports.figures.imaging import Image, ShownSlice, Window, show_gray, shown_slice
from albench.reports.figures.masks import (
    about_unknown,
    draw_mask,
    figure_of_masks,
    in_words,
    only,
    prediction_contours,
    truth_contours,
)
from albench.reports.figures.style import WIDTH, Drawing, subplots, wrapped
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.runs.array_files import Arrays

_SHARE = 0.20  # labeled, at which segmentations are shown, as most of those in the paper
_METHODS = 5
_ROWS = 8  # of more methods two are beside each other, with half of the slices
_QUERIED = "queried_"  # prefix of arrays with snapshots of queried slices


def segmentations(results: Results, group: Group) -> Drawing | None:
    """Fig. 2: a large and a small object, the truth, and the five best methods; None without snapshots.

    Both slices are selected by their size alone, so that no example is selected because it favors a method. Large is
    the largest slice of the test case in which it has the median size among all cases. Small is likewise the smallest
    slice with at least a tenth of the largest foreground of its case. In a report on one class, no other is shown.
    """
    runs = dict(islice(_with_images(group), _METHODS))
    if not runs:
        return None
    best = list(runs)
    rounds = {label: at_share(group.curves[label], _SHARE) for label in best}
    indices = {
        label: len(run.reader.records) - 1 if rounds[label] is None else rounds[label] for label, run in runs.items()
    }
    class_name = results.metric.class_name
    names = group.classes if class_name is None else (class_name,)
    shown_class = None if class_name is None else group.classes.index(class_name) + 1
    stored = runs[best[0]].reader.snapshots()
    snapshots = stored | {"masks": only(stored["masks"].astype(np.uint8), shown_class)}
    masks = {label: run.reader.predictions(indices[label]) for label, run in runs.items()}
    rows = {
        size: row
        for size, row in _large_and_small(snapshots).items()
        if all(int(snapshots["ids"][row]) in own for own in masks.values())
    }
    if not rows:
        return None
    figure = figure_of_masks(names, 3.0 if len(rows) > 1 else 1.75, min(WIDTH, 0.4 + 1.1 * (2 + len(best))))
    grid = subplots(figure, len(rows), 2 + len(best))
    for axes, (size, row) in zip(grid, rows.items(), strict=True):
        slice_id = int(snapshots["ids"][row])
        predictions = [only(own[slice_id], shown_class) for own in masks.values()]
        _draw(axes, size, shown_slice(snapshots, row), predictions, len(names))
    areas = [f"{wrapped(label, 16)}\nAUBC {results.metric.text(group.means[label])}" for label in best]
    for ax, name in zip(grid[0], ("slice", "truth", *areas), strict=True):
        ax.set_title(name, fontsize=6)
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in runs.values()}))
    shares = sorted({f"{group.curves[label].share[index]:.1%}" for label, index in indices.items()})
    caption = (
        f"{in_words(len(names), 'truth', 'prediction')}. Predictions are with {', '.join(shares)} labeled, by the "
        f"run of each method with the lowest seed ({seeds}). Columns: the slice, its truth, and "
        f"{_best_in_words(len(best))}. Large: "
        "the largest slice of the test case in which it has the median size among all cases; small: likewise the "
        "smallest slice with at least a tenth of the largest foreground of its case. Pink: the part that is shown "
        f"beside. Dice is that of the slice{', the mean over the classes in its truth' if len(names) > 1 else ''}.",
        *["Methods of a bundle have no images and are left out."]
        * (not all(run.reader.has_images for run in group.runs)),
        *about_unknown([snapshots["masks"][row] for row in rows.values()]),
        *provenance(results, group),
    )
    title = f"Segmentations on {group.name}"
    return Drawing(f"segmentations-{slug(group.name)}", title, caption, figure)


def _with_images(group: Group) -> Iterator[tuple[str, Run]]:
    """The ranked methods, the best first, with their first run; without those of a bundle, which has no images."""
    for label in group.ranking:
        run = min(group.methods[label], key=lambda run: run.replicate)
        if run.reader.has_images:
            yield label, run


def _without_images(group: Group) -> list[str]:
    """That methods of a bundle are not shown, if there are any."""
    shown = all(run.reader.has_images for run in group.runs)
    return [] if shown else ["Methods of a bundle have no images and are left out."]


def _best_in_words(count: int) -> str:
    """Which methods are shown, in which order."""
    if count == 1:
        return "the only ranked method"
    return f"the {count} ranked methods with the best AUBC, the best one first"


def _draw(axes: Sequence[Axes], size: str, shown: ShownSlice, predictions: Sequence[Image], classes: int) -> None:
    """A row: the slice with the part that is shown beside, the truth there, and every prediction."""
    height, width = shown.image.shape
    inside = [mask[:height, :width] for mask in predictions]
    top, bottom, left, right = window = _window([shown.truth, *inside])
    show_gray(axes[0], shown.image, shown.aspect)
    box = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color="#CC79A7", linewidth=0.9)
    axes[0].add_patch(box)
    axes[0].set_ylabel(f"{size}\n{shown.case}, slice {shown.position}", fontsize=6)
    show_gray(axes[1], shown.image, shown.aspect, window)
    draw_mask(axes[1], shown.truth, truth_contours(classes))
    for ax, mask in zip(axes[2:], inside, strict=True):
        show_gray(ax, shown.image, shown.aspect, window)
        draw_mask(ax, shown.truth, truth_contours(classes))
        draw_mask(ax, mask, prediction_contours(classes))
        nothing = "" if foreground(mask).any() else "nothing predicted\n"
        ax.set_xlabel(f"{nothing}Dice {_dice(mask, shown.truth, classes):.2f}", fontsize=6)


def gallery(results: Results, group: Group) -> Drawing | None:
    """The first slices of every method's first query; None without snapshots."""
    found = {}
    for label, runs in group.methods.items():
        arrays = queried_snapshots(min(runs, key=lambda run: run.replicate), 0)
        if arrays:
            found[label] = arrays
    if not found:
        return None
    columns, names = max(len(arrays["ids"]) for arrays in found.values()), group.classes
    beside = 1 if len(found) <= _ROWS else 2
    shown_slices = -(-columns // beside)
    rows = -(-len(found) // beside)
    figure = figure_of_masks(names, 0.3 + 1.18 * rows)
    panels = [ax for row in subplots(figure, rows, beside * shown_slices) for ax in row]
    blocks = [panels[start : start + shown_slices] for start in range(0, len(panels), shown_slices)]
    for ax in (ax for block in blocks[len(found) :] for ax in block):
        ax.set_axis_off()
    for axes, (label, arrays) in zip(blocks, found.items(), strict=False):
        for index, ax in enumerate(axes):
            if index >= len(arrays["ids"]):
                ax.set_axis_off()
                continue
            shown = shown_slice(arrays, index)
            show_gray(ax, shown.image, shown.aspect)
            draw_mask(ax, shown.truth, truth_contours(len(names)))
            ax.set_title(f"{shown.case}, {shown.position}", fontsize=5, pad=2)
        axes[0].set_ylabel(wrapped(label, 16), fontsize=7)
    caption = (
        f"The first {shown_slices} slices that each method queries after round 0, most wanted first, in its run with "
        "the lowest seed; "
        f"with case and position, and the label in {'blue' if len(names) == 1 else 'a color for each class'}.",
        *about_unknown([mask for arrays in found.values() for mask in arrays["masks"]]),
        *provenance(results, group),
    )
    return Drawing(f"queries-{slug(group.name)}", f"First queries on {group.name}", caption, figure)


def queried_snapshots(run: Run, index: int) -> Arrays:
    """The first slices of a query, as `albench.runs.snapshots` gives them; empty if the run has none."""
    arrays = run.reader.arrays(index)
    return {name.removeprefix(_QUERIED): values for name, values in arrays.items() if name.startswith(_QUERIED)}


def _large_and_small(snapshots: Arrays) -> dict[str, int]:
    """{`large`: row, `small`: row}: of the largest slices of all cases the one of median area; likewise small ones.

    Slices without foreground are not selected.
    """
    areas = np.count_nonzero(foreground(snapshots["masks"].astype(np.uint8)), (1, 2))
    filled = np.flatnonzero(areas)
    cases = snapshots["cases"][filled]
    found = {}
    for size, sign in (("large", 1), ("small", -1)):
        rows = [max(filled[cases == name], key=lambda row: sign * areas[row]) for name in np.unique(cases)]
        if rows:
            found[size] = int(sorted(rows, key=lambda row: areas[row])[(len(rows) - 1) // 2])
    if found.get("small") == found.get("large"):
        found.pop("small", None)
    return found


def _window(masks: Sequence[Image]) -> Window:
    """A square around all masks, twice as wide as they are and at least a quarter as wide as the image."""
    together = np.any(foreground(np.stack(masks)), 0)
    height, width = together.shape
    rows, columns = np.flatnonzero(together.any(1)), np.flatnonzero(together.any(0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = int(min(max(2 * extent, max(height, width) // 4), height, width))
    top = int(np.clip((rows[0] + rows[-1] + 1 - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] + 1 - side) // 2, 0, width - side))
    return top, top + side, left, left + side


def _dice(prediction: Image, truth: Image, classes: int) -> float:
    """Dice where the label is known, the mean over the classes in a truth that has foreground."""
    known = truth != UNKNOWN
    labels = [label for label in range(1, classes + 1) if (truth == label).any()]
    pairs = [((prediction == label) & known, truth == label) for label in labels]
    return float(np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in pairs]))
