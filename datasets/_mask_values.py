"""From the numbers in the file of a mask to one value per voxel: floats are rounded, one-hot volumes made labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats import StoredImage
from albench.errors import DataError

_NEAR = 0.02  # up to which a float counts as the whole number that it is near
_EXACT = 1e-3  # up to which it differs by its storage only
_FEW = 32  # different values near whole numbers that labels may have; probabilities have many
_SHOWN = 3  # values in a sentence
_WHITE = 255  # as 1, where a volume has no other values
_GAPS = 0.01  # share of the voxels, below which those of no class are an oversight and no background
_ONE_VOLUME = 3  # dimensions


def label_values(path: Path, mask: StoredImage) -> NDArray[np.generic]:
    """(i, j, k) whole numbers.

    Floats are rounded if each is within 0.02 of a whole number, unless they lie between 0 and 1 and have more than 32
    different values, which are probabilities.

    Of several volumes, each is 1 (or 255) where its class is. If every voxel has exactly one class, the first volume is
    the background and the values are 0, 1, 2, ...; if voxels have at most one, those without are the background and the
    volumes are 1, 2, 3, ....

    Raises:
        DataError: the values are not whole numbers, or a voxel has several classes.
    """
    values = mask.read(None if mask.integer else np.float32)
    if values.dtype.kind == "f":
        values = _rounded(path, values, scaled=mask.scaled)
    return values if values.ndim == _ONE_VOLUME else _of_volumes(path, values)


def _rounded(path: Path, values: NDArray[np.generic], *, scaled: bool) -> NDArray[np.generic]:
    whole = np.rint(values)
    with np.errstate(invalid="ignore"):
        distance = np.abs(values - whole)
    distance[np.isnan(distance)] = np.inf
    far = distance > _NEAR
    near = np.unique(values[(distance > _EXACT) & ~far])
    probabilities = len(near) > _FEW and values.min() >= 0 and values.max() <= 1
    if not far.any() and not probabilities:
        return whole
    limit = _NEAR if far.any() else _EXACT
    off = distance > limit
    examples = " and ".join(f"{value:.6g}" for value in np.unique(values[off])[:_SHOWN])
    finite = values[np.isfinite(values)]
    reach = f", and all finite values lie from {finite.min():.6g} to {finite.max():.6g}" if finite.size else ""
    remedy = "save labels, not probabilities"
    if scaled:
        remedy += ", or set scl_slope to 1 and scl_inter to 0 in its header if the stored numbers are labels"
    raise DataError(
        f"a mask must contain whole numbers, '{path}' does not, {np.count_nonzero(off):,} of {values.size:,} voxels "
        f"are more than {limit:g} off, such as {examples}{reach}: {remedy}"
    )


def _of_volumes(path: Path, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """The labels of (i, j, k, c) volumes."""
    found = np.unique(values)
    count = values.shape[-1]
    if not set(found.tolist()) <= {0, 1} and not set(found.tolist()) <= {0, _WHITE}:
        shown = ", ".join(f"{value:g}" for value in found[:_SHOWN])
        raise DataError(
            f"a mask of {count} volumes must have one for each class, of 0 and 1, '{path}' has {shown}"
            f"{' and more' if len(found) > _SHOWN else ''}: save one volume of labels"
        )
    inside = values != 0
    classes = np.count_nonzero(inside, axis=-1)
    several, none = np.count_nonzero(classes > 1), np.count_nonzero(classes == 0)
    if several:
        raise DataError(
            f"a mask of {count} volumes must give every voxel at most one class, '{path}' gives several to "
            f"{several:,} of {classes.size:,} voxels: save one volume of labels, or one mask for each of overlapping "
            "regions, which need one run each"
        )
    if 0 < none < _GAPS * classes.size:
        raise DataError(
            f"a mask of {count} volumes must have one for the background or leave it out, '{path}' gives no class to "
            f"{none:,} of {classes.size:,} voxels only: add them to the background"
        )
    labels = inside.argmax(-1) if not none else np.where(classes == 0, 0, inside.argmax(-1) + 1)
    return labels.astype(np.uint8 if count < _WHITE else np.int64)
