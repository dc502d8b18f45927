"""Intensities and grid of one volume, as in the prepared set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albench.data.intensities import ClippedTarget, Intensities, check_normalized
from albench.data.memory import check_memory
from albench.data.scaled_masks import interpolated, scale_mask
from albench.data.volume import Volume
from albench.errors import DataError


def standardized(volume: Volume, case: str, intensities: Intensities) -> tuple[Volume, ClippedTarget]:
    """Clip each channel, then give it mean 0 and standard deviation 1, unless it is normalized already.

    Statistics are those of the volume: the prepared set does not depend on the split, and nothing of a test case
    reaches the others.

    Args:
        volume: checked by `check_volume`.
        case: its name, for the message.
        intensities: what is clipped, and which voxels count in percentiles, mean and standard deviation.

    Raises:
        DataError: a channel has no contrast after clipping, or it should be normalized and is not.
    """
    if intensities.rule == "none":
        check_normalized(volume, case)
    image, bounds, padded = np.empty(volume.image.shape, np.float32), [], False
    for values, channel in zip(image, volume.image, strict=True):
        body = intensities.body(channel)
        low, high = intensities.bounds(channel, body)
        bounds.append((low, high))
        padded |= body is not None
        np.clip(channel, low, high, out=values)
        if intensities.rule != "none":
            _standardize(values, body)
        if values.min() == values.max():
            lowest, highest = intensities.percentiles
            limits = f"its {lowest:g}th and {highest:g}th percentiles"
            if intensities.window:
                limits = "the ends of data.window"
            raise DataError(
                f"case '{case}' must have contrast between {limits}, they are equal: set data.window, for example to "
                "its whole range"
            )
    clipped = ClippedTarget.within(volume, bounds, padded=padded)
    return Volume(image, volume.mask, volume.spacing), clipped


def _standardize(values: NDArray[np.float32], body: NDArray[np.bool_] | None) -> None:
    """Give the (d, h, w) voxels of the body mean 0 and standard deviation 1, in place."""
    if body is None:
        values -= np.mean(values, dtype=np.float64)
        # By slices: a square of the whole volume in float64 would be two volumes more.
        spread = np.sqrt(np.mean([np.mean(np.square(plane, dtype=np.float64)) for plane in values]))
    else:
        values -= np.mean(values, dtype=np.float64, where=body)
        squares = [np.square(plane[inside], dtype=np.float64).sum() for plane, inside in zip(values, body, strict=True)]
        spread = np.sqrt(sum(squares) / body.sum())
    values /= spread if spread > 0 else 1.0


def fit_to(volume: Volume, size: tuple[int, int] | None) -> Volume:
    """Scale slices in their plane to the largest extent that fits `size`, with square pixels in millimeters.

    Images are interpolated linearly, with an anti-aliasing filter when they shrink; masks keep their volume and small
    objects (`scale_mask`). The spacing follows. Slices that fit already are not changed.

    Args:
        size: height and width in pixels; None returns the volume itself.

    Raises:
        DataError: the scaled slices do not fit into memory.
    """
    if size is None:
        return volume
    height, width = volume.mask.shape[1:]
    dz, dy, dx = volume.spacing
    scale = min(size[0] / (height * dy), size[1] / (width * dx))
    new = (_side(size[0], height * dy * scale), _side(size[1], width * dx * scale))
    if new == (height, width):
        return volume
    mask = volume.mask
    check_memory(
        np.dtype(np.float32).itemsize * (len(volume.image) + 1) * len(mask) * new[0] * new[1],
        f"a case of {len(mask)} slices scaled to {new[0]} x {new[1]} pixels",
        "choose a smaller data.size",
    )
    spacing = (dz, dy * height / new[0], dx * width / new[1])
    return Volume(interpolated(volume.image, new), scale_mask(mask, new), spacing)


def _side(limit: int, extent: float) -> int:
    """A side in pixels."""
    return max(1, min(limit, round(extent)))
