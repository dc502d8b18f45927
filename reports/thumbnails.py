"""Small images of slices with the contours of their labels, as WebP in the text of a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imsave
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, map_coordinates

from albench.masks import UNKNOWN
from albench.reports.figures.imaging import Image, ShownSlice

SIDE = 96
"""Pixels of the longer side of a thumbnail."""

_FINE = 3  # contours are drawn on so many times finer pixels
_LINE = 4  # of these: width of a contour
_HATCH = 24  # of these: distance of the lines where the label is unknown
_QUALITY = 50  # of WebP

Values = NDArray[np.float64]


def thumbnail(shown: ShownSlice, colors: Sequence[str]) -> tuple[str, int, int]:
    """A slice with the contours of the classes 1, 2, ... in their colors.

    Returns:
        Its address, which contains the image, and its width and height in pixels. They have the proportions of the
        slice in millimeters.
    """
    height, width = _sides(shown)
    gray = _resampled(shown.image.astype(np.float64), height, width, order=1) / 255
    picture = np.repeat(gray[..., None], 3, axis=2)
    fine = _resampled(shown.truth, height * _FINE, width * _FINE, order=0).astype(np.uint8)
    for line, color in [*_contours(fine, colors), (_hatches(fine), "#FFFFFF")]:
        share = line.reshape(height, _FINE, width, _FINE).mean((1, 3))[..., None]  # of a pixel that the line covers
        picture = picture * (1 - share) + np.array(to_rgb(color)) * share
    text = io.BytesIO()
    pixels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    imsave(text, pixels, format="webp", pil_kwargs={"quality": _QUALITY})
    return f"data:image/webp;base64,{base64.b64encode(text.getvalue()).decode()}", width, height


def _sides(shown: ShownSlice) -> tuple[int, int]:
    """Height and width of the thumbnail."""
    height, width = shown.image.shape[0] * shown.aspect, float(shown.image.shape[1])
    scale = SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resampled(values: NDArray[np.generic], height: int, width: int, *, order: int) -> Values:
    """Values at the centers of other pixels that cover the same area."""
    rows, columns = ((np.arange(n) + 0.5) * old / n - 0.5 for n, old in zip((height, width), values.shape, strict=True))
    return map_coordinates(values, np.meshgrid(rows, columns, indexing="ij"), order=order, mode="nearest")


def _contours(fine: Image, colors: Sequence[str]) -> list[tuple[NDArray[np.bool_], str]]:
    """The pixels along the inner border of every class, but not along the border of the image."""
    found = []
    for label, color in enumerate(colors, 1):
        own = fine == label
        if own.any():
            found.append((own & ~binary_erosion(own, iterations=_LINE, border_value=True), color))
    return found


def _hatches(fine: Image) -> NDArray[np.bool_]:
    """Diagonal lines where the label is unknown."""
    rows, columns = np.indices(fine.shape, sparse=True)
    return np.asarray((fine == UNKNOWN) & ((rows + columns) % _HATCH < _LINE))
