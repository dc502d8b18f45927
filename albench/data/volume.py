"""One case as a dataset loads it: an image with its mask, and the rules for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.data.facts import FileFacts
from albench.errors import DataError
from albench.masks import UNKNOWN


@dataclass(frozen=True)
class Volume:
    """One case, z first: slices are `image[:, z]` and `mask[z]`.

    Attributes:
        image: (c, d, h, w) float32, any intensity range.
        mask: (d, h, w) uint8: 0 background, 1 to K the classes, UNKNOWN where the label is not known.
        spacing: millimeters between voxels along z, y, x.
        facts: what the files say; None without files.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    facts: FileFacts | None = None


def check_volume(
    volume: Volume, case: str, window: tuple[float, float] | None = None, classes: tuple[str, ...] = ("foreground",)
) -> None:
    """Reject a volume that cannot be used.

    Args:
        case: its name, for the message.
        window: the intensities will be clipped to this range.
        classes: names of the classes 1 to K of the mask.

    Raises:
        DataError: shapes, intensities, mask values or spacing break a rule.
    """
    image, mask = volume.image, volume.mask
    if image.ndim != 4 or mask.ndim != 3 or 0 in image.shape:
        raise DataError(
            f"case '{case}' must be a 3D image (c, d, h, w) with a 3D mask (d, h, w), got {image.shape} and "
            f"{mask.shape}: leave out 2D files"
        )
    if image.shape[1:] != mask.shape:
        raise DataError(
            f"case '{case}' must have a mask of its image's shape, got {mask.shape} for {image.shape[1:]}: "
            "resample the mask to the image's grid"
        )
    ranges = [(float(channel.min()), float(channel.max())) for channel in image]
    if not np.isfinite(ranges).all():
        bad = int(image.size - np.isfinite(image).sum())
        raise DataError(
            f"case '{case}' must have finite intensities, {bad} voxels are NaN or infinite: repair or leave "
            "out the volume"
        )
    for low, high in ranges:
        if low == high:
            raise DataError(
                f"case '{case}' must have contrast, {low:g} is the intensity of all its voxels: repair or leave "
                "out the volume"
            )
        if window and (high <= window[0] or low >= window[1]):
            raise DataError(
                f"case '{case}' must have intensities within data.window {list(window)}, it has {low:g} to "
                f"{high:g}: choose a window that contains them"
            )
    # slice by slice, because temporary arrays of the size of the mask stay in the heap
    wrong = {label for plane in mask for label in np.unique(plane).tolist()} - {*range(len(classes) + 1), UNKNOWN}
    if wrong:
        values = "1 for its class" if len(classes) == 1 else f"1 to {len(classes)} for its {len(classes)} classes"
        raise DataError(
            f"case '{case}' must have a mask of 0, {values} and {UNKNOWN} where the label is unknown, got "
            f"{max(wrong)}: make the target 1 and all else 0, or name more classes"
        )
    if min(volume.spacing) <= 0 or not np.isfinite(volume.spacing).all():
        raise DataError(
            f"case '{case}' must have a positive voxel spacing, got {volume.spacing} mm: repair or leave out the volume"
        )
