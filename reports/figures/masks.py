"""Drawing label maps on slices: contours in the colors of their classes, hatched where the label is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from albench.masks import UNKNOWN
from albench.reports.figures.imaging import Image
from albench.reports.figures.style import CONTOUR_WIDTH, PREDICTION, TRUTH, WIDTH, class_colors, new_figure

_ROW, _HANDLE, _LETTER = 0.16, 0.5, 0.07  # inches: height of a row of a legend, and widths in it


@dataclass(frozen=True)
class Contours:
    """How the contours of a label map are drawn.

    Attributes:
        colors: of the classes 1, 2, ...
        line: of all of them.
    """

    colors: tuple[str, ...]
    line: Literal["-", "--"] = "-"


def truth_contours(classes: int) -> Contours:
    """Those of labels."""
    return Contours((TRUTH,) if classes == 1 else class_colors(classes))


def prediction_contours(classes: int) -> Contours:
    """Those of predictions: of one class in another color, of several in the color of the class and dashed."""
    return Contours((PREDICTION,)) if classes == 1 else Contours(class_colors(classes), "--")


def in_words(classes: int, truth: str, prediction: str) -> str:
    """What the contours of both show."""
    if classes == 1:
        return f"Blue: {truth}; orange: {prediction}"
    return f"Solid: {truth}; dashed: {prediction}; a color for each class"


def about_unknown(masks: Sequence[Image]) -> list[str]:
    """What is hatched, if anything is."""
    return ["Hatched: the label is unknown."] if any((mask == UNKNOWN).any() for mask in masks) else []


def draw_mask(ax: Axes, mask: Image, contours: Contours) -> None:
    """Draw an (h, w) label map; no contour of a class without pixels, or with all of them."""
    unknown = mask == UNKNOWN
    if unknown.any():
        ax.contourf(unknown, levels=[0.5, 1.5], colors="none", hatches=["/////"])
    for label, color in enumerate(contours.colors, 1):
        own = mask == label
        if own.any() and not own.all():
            ax.contour(own, levels=[0.5], colors=[color], linewidths=CONTOUR_WIDTH, linestyles=contours.line)


def figure_of_masks(names: Sequence[str], height: float, width: float = WIDTH) -> Figure:
    """An empty figure; height and width in inches. With several classes it has their colors below, and is higher."""
    if len(names) == 1:
        return new_figure(height, width)
    columns = max(1, int(width / (_HANDLE + _LETTER * max(map(len, names)))))
    figure = new_figure(height + _ROW * -(-len(names) // columns), width)
    handles = [Line2D([], [], color=color, marker="") for color in class_colors(len(names))]
    figure.legend(handles, names, loc="outside lower center", ncols=columns)
    return figure


def only(masks: Image, label: int | None) -> Image:
    """Label maps in which one class is 1 and all others are background; all classes as they are for None."""
    if label is None:
        return masks
    return np.where(masks == UNKNOWN, UNKNOWN, masks == label).astype(np.uint8)
