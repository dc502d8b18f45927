"""A case as it was read, in numbers, before it is brought to the working grid."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from albench.data.facts import FileFacts, value_counts
from albench.data.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)  # of the intensities of a case
_SAMPLE = 1 << 17  # voxels of a channel, evenly spaced, that percentiles are those of


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
        organs: as in `FileFacts`.
        agreement: as in `FileFacts`.
    """

    orientation: str
    values: Mapping[int, int]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    percentiles: tuple[tuple[float, ...], ...]
    image: str
    organs: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, volume: Volume) -> AsRead:
        """The facts of a checked volume."""
        facts = volume.facts or FileFacts(values=value_counts(volume.mask))
        percentiles = tuple(_percentiles(channel) for channel in volume.image)
        return cls(
            facts.orientation,
            facts.values,
            volume.mask.shape,
            tuple(volume.spacing),
            percentiles,
            image_digest(volume),
            facts.organs,
            facts.agreement,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> AsRead:
        """The facts as JSON keeps them, where keys are text and there are no tuples; earlier versions kept fewer."""
        made = {
            "values": _by_value(content["values"]),
            "organs": {organ: _by_value(values) for organ, values in content.get("organs", {}).items()},
            "shape": tuple(content["shape"]),
            "spacing": tuple(content["spacing"]),
            "percentiles": tuple(map(tuple, content["percentiles"])),
        }
        return cls(**{**content, **made})


def _by_value(content: Mapping[str, int]) -> dict[int, int]:
    return {int(value): number for value, number in content.items()}


def image_digest(volume: Volume) -> str:
    """SHA-256 of the intensities, by which an image that occurs twice is found."""
    digest = hashlib.sha256()
    for channel in volume.image:
        for plane in channel:
            digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def sampled(values: NDArray[Scalar], most: int) -> NDArray[Scalar]:
    """Evenly spaced values, about as many as `most` if there are more."""
    step = -(-values.size // most) | 1  # odd, so that they do not stand in a column of an even width
    return values.ravel()[::step]


def _percentiles(channel: NDArray[np.float32]) -> tuple[float, ...]:
    """Intensities at `PERCENTILES` of (d, h, w) voxels, with six digits."""
    return tuple(float(f"{value:.6g}") for value in np.percentile(sampled(channel, _SAMPLE), PERCENTILES))
