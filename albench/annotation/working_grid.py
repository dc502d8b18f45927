"""Masks that people have drawn, on the grid on which networks work."""

from __future__ import annotations

import numpy as np

from albench.data import FileGrid, Volume
from albench.data.preprocessing import fit_to
from albench.masks import Mask


def on_working_grid(mask: Mask, grid: FileGrid, size: tuple[int, int] | None) -> Mask:
    """A slice as prepared data have it, without padding.

    Scaling keeps small objects and the area of each (`scale_mask`). With the whole volume, objects are those of three
    dimensions, and it is their volume that is kept; of one slice that is drawn, the rest of an object is not known.

    Args:
        mask: (h, w) label map on the grid of the file.
        size: as in `Dataset`; None returns the mask itself.
    """
    image = np.empty((0, 1, *mask.shape), np.float32)
    scaled: Mask = fit_to(Volume(image, mask[None], grid.spacing), size).mask[0]
    return scaled
