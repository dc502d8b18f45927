"""Label maps on a smaller or larger grid, so that volumes stay as they are and small objects survive.

A threshold at half of a pixel loses what is thinner than a pixel, and taking the nearest voxel loses it by chance. Here
every object gets as many pixels as its volume is worth, those of which it covers most, and at least one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albench.masks import UNKNOWN, Mask, foreground

SCALING = 2  # the rule below; part of the key of scaled data
_LEAST = 1e-6  # part of a pixel below which a part is rounding


def scale_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Scale a (d, h, w) label map to slices of `shape`.

    Parts of a pixel are interpolated as images are (`interpolated`). A pixel is unknown where at least half of it is.
    The foreground of all classes together is divided into objects, which are connected by faces, edges or corners in
    3D where any part of a pixel belongs to them: each keeps its volume, rounded to whole pixels. Within it every
    class has the pixels that it has the largest part of, unless objects of smaller classes need them for their volume.
    """
    made = np.zeros((len(mask), *shape), np.uint8)
    unknown = mask == UNKNOWN
    unknown_part = _parts(unknown, shape) if unknown.any() else np.zeros((1, 1, 1), np.float32)
    known = np.where(unknown_part < 0.5, 1 / np.maximum(1 - unknown_part, 0.5), 0)
    inside = _of_volume(_parts(foreground(mask), shape) * known)
    numbers = np.bincount(mask.ravel(), minlength=UNKNOWN + 1)[:UNKNOWN]
    labels = [label for label in range(1, UNKNOWN) if numbers[label]]
    largest = np.zeros(made.shape, np.float32)
    for label in sorted(labels, key=lambda label: (-numbers[label], -label)):
        if len(labels) == 1:
            made[inside] = label
            break
        part = _parts(mask == label, shape) * known
        own = inside & _of_volume(part)
        made[own | (inside & (part >= largest))] = label
        largest = np.maximum(largest, part)
        largest[own] = 1
    made[np.broadcast_to(unknown_part >= 0.5, made.shape)] = UNKNOWN
    return made


def interpolated(channels: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(c, d, *shape) linear interpolation of (c, d, h, w) values in their plane, anti-aliased where it shrinks."""
    import torch  # takes seconds, in every worker

    if not len(channels):
        return np.empty((0, channels.shape[1], *shape), np.float32)
    interpolate = torch.nn.functional.interpolate
    slices = torch.from_numpy(channels.swapaxes(0, 1))
    scaled: NDArray[np.float32] = interpolate(slices, shape, mode="bilinear", antialias=True).numpy()
    return scaled.swapaxes(0, 1)


def _parts(belongs: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(d, *shape) the part of every pixel that belongs to something, of (d, h, w) whether voxels do."""
    made = np.zeros((len(belongs), *shape), np.float32)
    for plane, scaled in zip(belongs, made, strict=True):  # in float32, the volume would be four times as large
        if plane.any():
            scaled[:] = interpolated(plane[None, None].astype(np.float32), shape)[0, 0]
    return made


def _of_volume(parts: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(d, h, w) the pixels with the largest parts of their objects, of each as many as its volume is worth."""
    from scipy.ndimage import label

    objects, _ = label(parts > _LEAST, np.ones((3, 3, 3)))
    where = np.flatnonzero(objects)
    of, part = objects.ravel()[where], parts.ravel()[where]
    wanted = np.maximum(1, np.rint(np.bincount(of, part)))
    order = np.lexsort((-part, of))
    first = np.concatenate([[0], np.cumsum(np.bincount(of))])
    rank = np.arange(len(order)) - first[of[order]]
    kept = np.zeros(parts.size, np.bool_)
    kept[where[order[rank < wanted[of[order]]]]] = True
    return kept.reshape(parts.shape)
