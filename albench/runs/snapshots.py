"""Snapshots: slices with their masks, kept with a run so that figures can be drawn without the data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from albench.data import SliceStack
from albench.masks import Ids, Mask
from albench.runs.array_files import Arrays


def snapshots(slices: SliceStack, ids: Ids | Sequence[int], masks: Mask, *, longest: int | None = None) -> Arrays:
    """Everything that is needed to draw n slices.

    Args:
        slices: where they are.
        ids: (n,) which ones.
        masks: (n, H, W) label maps.
        longest: leave out rows and columns until no side is longer; None keeps all pixels.

    Returns:
        `ids` (n,), `cases` (n,) names, `positions` (n,), `images` (n, H, W) uint8 of the first channel between its
        1st and 99th percentile in the slice, `masks` (n, H, W) uint8, `valid` (n, 2) height and width without padding,
        `pixel` (n, 2) millimeters along y and x.
    """
    ids = np.asarray(ids, dtype=np.int64)
    valid, spacing = slices.valid[ids], slices.spacing[slices.case[ids]]
    step = 1 if longest is None else max(1, -(-max(slices.shape[1:]) // longest))
    images = np.zeros(masks.shape, dtype=np.uint8)
    for row, (slice_id, (height, width)) in enumerate(zip(ids, valid, strict=True)):
        image = slices.read(np.array([slice_id]))[0, 0, :height, :width].astype(np.float32)
        images[row, :height, :width] = _gray(image)
    return {
        "ids": ids,
        "cases": np.array([slices.cases[i] for i in slices.case[ids]], dtype=np.str_),
        "positions": slices.position[ids],
        "images": images[:, ::step, ::step],
        "masks": masks[:, ::step, ::step],
        "valid": -(-valid // step),
        "pixel": spacing[:, 1:] * step,
    }


def _gray(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = np.percentile(image, (1, 99))
    scaled = (image - low) / max(high - low, 1e-6)
    return np.rint(scaled.clip(0, 1) * 255).astype(np.uint8)
