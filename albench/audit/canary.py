"""Canaries: masks of the same size and labels as the true ones, and different from each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albench.masks import UNKNOWN, Mask


def canary(truth: Mask, other: Mask, valid: NDArray[np.int64], classes: int, rng: np.random.Generator) -> Mask:
    """A mask of a slice that is not the true one: the shifted mask of another slice, and a random box.

    It has foreground, none in the padding, and is unknown where the truth is, because that is no secret. Only where no
    label is known, it equals the truth.

    Args:
        truth: (h, w) of the slice.
        other: (h, w) of another slice.
        valid: height and width without padding.
        classes: K, the highest label.
        rng: of the canaries; a strategy that knew it could undo them.
    """
    height, width = (int(side) for side in valid)
    mask = np.where(other == UNKNOWN, 0, other)
    mask = np.roll(mask, rng.integers(1, np.maximum(mask.shape, 2)), (0, 1))
    top, left = int(rng.integers(height)), int(rng.integers(width))
    box = slice(top, top + max(1, height // 4)), slice(left, left + max(1, width // 4))
    mask[box] = rng.integers(1, classes + 1)
    open_pixels = truth != UNKNOWN
    open_pixels[height:] = False
    open_pixels[:, width:] = False
    mask = np.where(open_pixels, mask, np.where(truth == UNKNOWN, UNKNOWN, 0)).astype(np.uint8)
    for _ in range(2):  # the second change leaves foreground where the first one takes it away
        if np.array_equal(mask, truth) or not mask[open_pixels].any():
            mask[open_pixels] = (mask[open_pixels] + 1) % (classes + 1)
    return mask
