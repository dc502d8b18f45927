"""Drawing slices: in their own pixels and proportions, with outlines of masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from albench.errors import StoreError

Arrays = dict[str, NDArray[np.generic]]
Image = NDArray[np.uint8]
Window = tuple[int, int, int, int]
"""Top, bottom, left and right, in pixels."""

_PIXELS = 256  # of a side, at most


@dataclass(frozen=True)
class Shown:
    """A slice to show.

    Attributes:
        image: (h, w) gray.
        truth: (h, w) mask.
        case: its case.
        position: its position in the volume.
        aspect: millimeters along y for one along x.
    """

    image: Image
    truth: Image
    case: str
    position: int
    aspect: float


def load_arrays(path: Path) -> Arrays | None:
    """Arrays of a file; None if the version that made the run did not write it."""
    if not path.exists():
        return None
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise StoreError(f"'{path}' must be of a finished run, it is damaged: remove the run") from error


def shown_slice(pictures: Arrays, row: int) -> Shown:
    """A slice of those that `albench.runs.snapshots` kept, without its padding."""
    height, width = (int(side) for side in pictures["valid"][row])
    dy, dx = (float(side) for side in pictures["pixel"][row])
    return Shown(
        pictures["images"][row, :height, :width].astype(np.uint8),
        pictures["masks"][row, :height, :width].astype(np.uint8),
        str(pictures["cases"][row]),
        int(pictures["positions"][row]),
        dy / dx,
    )


def show_gray(ax: Axes, image: Image, aspect: float, window: Window | None = None) -> None:
    """A slice, or a window of it, in its own pixels, or every k-th of them so that a page stays small."""
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
        interpolation="none",  # pixels as they are, also in PDF and SVG
    )
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def outline(ax: Axes, mask: Image, color: str) -> None:
    """The border of an (h, w) mask; none if it has none."""
    if mask.any() and not mask.all():
        ax.contour(mask, levels=[0.5], colors=[color], linewidths=0.9)
