"""What the cases of a dataset are before they are brought to the working grid."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from albench.data.volume import Volume

MOST_VALUES = 256  # different values of one mask that are kept, and that can be labels
PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)  # of the intensities of a case
_SAMPLE = 1 << 17  # voxels of a channel, evenly spaced, that percentiles are those of


@dataclass(frozen=True)
class FileFacts:
    """What the files of a case say, beside its image and its label map.

    Attributes:
        orientation: where the axes of the file point to, as nibabel's `aff2axcodes`, such as RAS; empty if the files
            do not say it.
        values: voxels of every value of the mask, ascending, at most the `MOST_VALUES` most frequent; empty without a
            mask.
    """

    orientation: str = ""
    values: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AsRead:
    """A case as it was read.

    Attributes:
        orientation: as in `FileFacts`.
        values: as in `FileFacts`; without files, those of the label map.
        shape: depth, height and width in voxels.
        spacing: millimeters along z, y, x.
        percentiles: (c, 5) intensities of each channel at `PERCENTILES`.
        image: SHA-256 of the intensities.
    """

    orientation: str
    values: Mapping[int, int]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    percentiles: tuple[tuple[float, ...], ...]
    image: str

    @classmethod
    def of(cls, volume: Volume) -> AsRead:
        """The facts of a checked volume."""
        facts = volume.facts or FileFacts(values=value_counts(volume.mask))
        digest = hashlib.sha256()
        for channel in volume.image:
            for plane in channel:
                digest.update(np.ascontiguousarray(plane).data)
        percentiles = tuple(_percentiles(channel) for channel in volume.image)
        return cls(
            facts.orientation, facts.values, volume.mask.shape, tuple(volume.spacing), percentiles, digest.hexdigest()
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> AsRead:
        """The facts as JSON keeps them, where keys are text and there are no tuples."""
        made = {
            "values": {int(value): number for value, number in content["values"].items()},
            "shape": tuple(content["shape"]),
            "spacing": tuple(content["spacing"]),
            "percentiles": tuple(map(tuple, content["percentiles"])),
        }
        return cls(**{**content, **made})


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


def _percentiles(channel: NDArray[np.float32]) -> tuple[float, ...]:
    """Intensities at `PERCENTILES` of (d, h, w) voxels, with six digits."""
    step = -(-channel.size // _SAMPLE) | 1  # odd, so that the voxels do not stand in a column of an even width
    return tuple(float(f"{value:.6g}") for value in np.percentile(channel.ravel()[::step], PERCENTILES))
