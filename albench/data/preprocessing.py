"""Intensities and grid of one volume, as in the prepared set."""

from __future__ import annotations

import numpy as np

from albench.data.volume import Volume
from albench.errors import DataError


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

    Images are interpolated linearly, with an anti-aliasing filter when they shrink; a mask pixel is foreground where
    the interpolated mask is at least one half. The spacing follows. Slices that fit already are not changed.

    Args:
        size: height and width in pixels; None returns the volume itself.
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
    import torch  # takes seconds, in every worker

    both = np.concatenate([volume.image, volume.mask[None].astype(np.float32)]).swapaxes(0, 1)
    interpolate = torch.nn.functional.interpolate
    scaled = interpolate(torch.from_numpy(both), new, mode="bilinear", antialias=True).numpy().swapaxes(0, 1)
    spacing = (dz, dy * height / new[0], dx * width / new[1])
    return Volume(scaled[:-1], (scaled[-1] >= 0.5).astype(np.uint8), spacing)
