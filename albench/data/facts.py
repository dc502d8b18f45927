"""What the files of a case say beside its image and its label map: orientation, and the values of the mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 256  # different values of one mask that are kept, and that can be labels


@dataclass(frozen=True)
class FileFacts:
    """What the files of a case say, beside its image and its label map.

    Attributes:
        orientation: where the axes of the file point to, as nibabel's `aff2axcodes`, such as RAS; empty if the files
            do not say it.
        values: voxels of every value of the mask, ascending, at most the `MOST_VALUES` most frequent; empty without a
            mask, and where masks are of one organ each.
        organs: likewise of each organ that has masks of its own.
        agreement: Dice of every pair of raters, as `agreement`; empty with one rater.
    """

    orientation: str = ""
    values: Mapping[int, int] = field(default_factory=dict)
    organs: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ValueCount:
    """How often a value occurs in masks.

    Attributes:
        voxels: with the value.
        masks: that contain it.
    """

    voxels: int
    masks: int


def value_counts(values: NDArray[np.generic]) -> dict[int, int]:
    """Voxels of every value of a 3D array of whole numbers, ascending."""
    if values.dtype == np.uint8:  # plane by plane, because bincount copies what it counts to 64 bits
        counts = sum((np.bincount(plane.ravel(), minlength=256) for plane in values), np.zeros(256, np.int64))
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}


def most_frequent(values: Mapping[int, int]) -> dict[int, int]:
    """The values with most voxels, as many as are kept, ascending."""
    chosen = sorted(values, key=lambda value: -values[value])[:MOST_VALUES]
    return {value: values[value] for value in sorted(chosen)}


def pooled(values: Iterable[Mapping[int, int]]) -> dict[int, ValueCount]:
    """The values of all masks, ascending, from the voxels by value of each."""
    voxels: defaultdict[int, int] = defaultdict(int)
    masks: defaultdict[int, int] = defaultdict(int)
    for mask in values:
        for value, number in mask.items():
            voxels[value] += number
            masks[value] += 1
    return {value: ValueCount(voxels[value], masks[value]) for value in sorted(voxels)}
