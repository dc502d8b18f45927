"""Intensities and grid of one volume, as in the prepared set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albench.data.memory import check_memory
from albench.data.volume import Volume
from albench.errors import DataError
from albench.masks import UNKNOWN, foreground

SCALING = 1  # of masks by `fit_to`; part of the key of scaled data


def standardized(volume: Volume, case: str, window: tuple[float, float] | None) -> Volume:
    """Clip each channel, then give it mean 0 and standard deviation 1.

    Statistics are those of the volume: the prepared set does not depend on the split, and nothing of a test case
    reaches the others.

    Args:
        volume: checked by `check_volume`.
        case: its name, for the message.
        window: lowest and highest intensity; None takes the 0.5th and 99.5th percentiles of the channel.

    Raises:
        DataError: the percentiles of a channel are equal.
    """
    image = np.empty(volume.image.shape, np.float32)
    for values, channel in zip(image, volume.image, strict=True):
        low, high = window or np.percentile(channel, (0.5, 99.5))
        np.clip(channel, low, high, out=values)
        values -= np.mean(values, dtype=np.float64)
        # By slices: a square of the whole volume in float64 would be two volumes more.
        spread = np.sqrt(np.mean([np.mean(np.square(plane, dtype=np.float64)) for plane in values]))
        values /= spread if spread > 0 else 1.0
        if not values.any():
            raise DataError(
                f"case '{case}' must have contrast between its 0.5th and 99.5th percentiles, they are equal: set "
                "data.window, for example to its whole range"
            )
    return Volume(image, volume.mask, volume.spacing)


def fit_to(volume: Volume, size: tuple[int, int] | None) -> Volume:
    """Scale slices in their plane to the largest extent that fits `size`, with square pixels in millimeters.

    Images are interpolated linearly, with an anti-aliasing filter when they shrink, and so are the parts of a pixel
    that have a label. A pixel is unknown where at least half of it is. It is foreground where at least half of its
    known part is, of all classes together; its class is the one with the largest part, the first of several. The
    spacing follows. Slices that fit already are not changed.

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
    new = tuple(
        max(1, min(limit, round(extent * scale))) for limit, extent in zip(size, (height * dy, width * dx), strict=True)
    )
    if new == (height, width):
        return volume
    mask = volume.mask
    check_memory(
        np.dtype(np.float32).itemsize * (len(volume.image) + 1) * len(mask) * new[0] * new[1],
        f"a case of {len(mask)} slices scaled to {new[0]} x {new[1]} pixels",
        "choose a smaller data.size",
    )
    scaled = _scaled(np.concatenate([volume.image, foreground(mask)[None].astype(np.float32)]), new)
    unknown = mask == UNKNOWN
    unknown_part = _scaled(unknown[None].astype(np.float32), new)[0] if unknown.any() else np.float32(0)
    is_foreground = scaled[-1] >= 0.5 * (1 - unknown_part)
    made = np.where(is_foreground, _largest_class(mask, new), np.uint8(0))
    made[np.broadcast_to(unknown_part >= 0.5, made.shape)] = UNKNOWN
    spacing = (dz, dy * height / new[0], dx * width / new[1])
    return Volume(scaled[:-1], made, spacing)


def _largest_class(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(d, *shape) the class with the largest part of every pixel, in slices that have any class."""
    made = np.zeros((len(mask), *shape), dtype=np.uint8)
    for plane, scaled in zip(mask, made, strict=True):  # the parts of all classes are in memory for one slice only
        classes = np.unique(plane[foreground(plane)])
        if len(classes) == 1:
            scaled[:] = classes[0]
        elif len(classes):
            parts = _scaled(np.array([plane[None] == label for label in classes], dtype=np.float32), shape)
            scaled[:] = classes[parts[:, 0].argmax(0)]
    return made


def _scaled(channels: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(c, d, *shape) linear interpolation of (c, d, h, w) values in their plane."""
    import torch  # takes seconds, in every worker

    interpolate = torch.nn.functional.interpolate
    slices = torch.from_numpy(channels.swapaxes(0, 1))
    scaled: NDArray[np.float32] = interpolate(slices, shape, mode="bilinear", antialias=True).numpy()
    return scaled.swapaxes(0, 1)
