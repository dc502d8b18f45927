"""Drawing slices in their own pixels and proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from albench.runs.array_files import Arrays

Image = NDArray[np.uint8]
Window = tuple[int, int, int, int]
"""Top, bottom, left and right, in pixels."""

_PIXELS = 256  # of a side, at most


@dataclass(frozen=True)
class ShownSlice:
    """A slice to draw.

    Attributes:
        image: (h, w) gray.
        truth: (h, w) label map.
        case: its case.
        position: its position in the volume.
        aspect: millimeters along y for one along x.
    """

    image: Image
    truth: Image
    case: str
    position: int
    aspect: float


def shown_slice(snapshots: Arrays, row: int) -> ShownSlice:
    """One slice of `albench.runs.snapshots`, without its padding."""
    height, width = (int(side) for side in snapshots["valid"][row])
    dy, dx = (float(side) for side in snapshots["pixel"][row])
    return ShownSlice(
        snapshots["images"][row, :height, :width].astype(np.uint8),
        snapshots["masks"][row, :height, :width].astype(np.uint8),
        str(snapshots["cases"][row]),
        int(snapshots["positions"][row]),
        dy / dx,
    )


def show_gray(ax: Axes, image: Image, aspect: float, window: Window | None = None) -> None:
    """Draw a slice or a window of it; of large images every k-th pixel, so that pages stay small."""
    top, bottom, left, right = window or (0, image.shape[0], 0, image.shape[1])
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    step = -(-max(bottom - top, right - left) // _PIXELS)
    ax.imshow(
        image[top:bottom:step, left:right:step],
        cmap="gray",
        vmin=0,
        vmax=255,
        aspect=aspect,
        extent=extent,
        interpolation="none",  # keeps the pixels in PDF and SVG too
    )
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
