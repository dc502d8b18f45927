"""The annotator: who draws the masks of queried slices, without errors or with those that people make.

Errors are drawn once for every slice of a run, from its seed: a slice gets the same mask whichever strategy queries it,
and in whichever round. So strategies of a seed can be compared in pairs, and one that prefers slices which are hard to
draw pays for it. Only labels of the pool have errors; validation and test cases keep the true masks.

Three kinds of errors, each in a share of the slices, independently of the others and in this order:

- `neighbor`: the mask is that of an adjacent slice of the case, as if slices were counted from another number.
- `missed`: small objects are not drawn, those whose area is below that of a circle of a given diameter. An object is a
  connected component of the foreground of the slice, with diagonal neighbors.
- `contours`: all contours are drawn too far outside or too far inside by the same distance, either with probability
  one half. Outside, a background pixel gets the label of the nearest object within the distance. Inside, the pixels
  within the distance of the background are left out, but the innermost ones of every object stay, because nobody who
  sees an object draws nothing. Contours between two classes stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from albench.config import AnnotationError, RunConfig
from albench.data import LabeledStack, SliceStack
from albench.errors import ConfigError
from albench.masks import UNKNOWN, Ids, Mask, foreground
from albench.streams import Streams

_DIAGONALS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Annotator:
    """Draws masks.

    Attributes:
        errors: the kinds of errors that occur.
        rate: share of the slices in which each kind occurs.
        distance: millimeters by which contours are displaced.
        smallest: diameter in millimeters below which an object may be missed.
        streams: of the run.
    """

    errors: tuple[AnnotationError, ...]
    rate: float
    distance: float
    smallest: float
    streams: Streams

    @classmethod
    def of(cls, config: RunConfig) -> Annotator:
        """The annotator of a run."""
        protocol, streams = config.protocol, Streams(config.seed, config.title)
        return cls(
            protocol.annotation_errors, protocol.error_rate, protocol.error_distance, protocol.missed_diameter, streams
        )

    def check(self, slices: SliceStack) -> None:
        """Check that the errors can occur.

        Raises:
            ConfigError: no case has two slices, one of which could be taken for the other.
        """
        if "neighbor" in self.errors and len(slices) == len(slices.cases):
            raise ConfigError(
                "protocol.annotation_errors=[neighbor] needs volumes of several slices, every volume of the pool has "
                "one: leave neighbor out"
            )

    def draw(self, truth: LabeledStack, ids: Ids) -> NDArray[np.uint8]:
        """(n, h, w) masks of the (n,) given slices."""
        masks = truth.masks(ids)
        if not self.errors:
            return masks
        known = masks != UNKNOWN
        for row, slice_id in enumerate(ids.tolist()):
            height, width = truth.slices.valid[slice_id]
            inside = np.s_[:height, :width]
            masks[row][inside] = self._drawn(truth, slice_id)[inside]
        masks[~known] = UNKNOWN
        return masks

    def _drawn(self, truth: LabeledStack, slice_id: int) -> Mask:
        slices = truth.slices
        case, position = int(slices.case[slice_id]), int(slices.position[slice_id])
        rng = self.streams.numpy(f"annotator, case {slices.cases[case]}", position)
        occurs = dict(zip(("neighbor", "missed", "contours"), (rng.random(3) < self.rate).tolist(), strict=True))
        up, outside = (rng.random(2) < 0.5).tolist()
        drawn = slice_id
        if "neighbor" in self.errors and occurs["neighbor"]:
            drawn = _adjacent(slice_id, slices.of(case), slices.annotatable, up=up)
        mask = truth.masks(np.array([drawn]))[0]
        mask[mask == UNKNOWN] = 0
        height, width = slices.spacing[case, 1:].tolist()
        if "missed" in self.errors and occurs["missed"]:
            mask = without_small_objects(mask, np.pi / 4 * self.smallest**2 / (height * width))
        if "contours" in self.errors and occurs["contours"]:
            displace = grown if outside else shrunk
            mask = displace(mask, self.distance, (height, width))
        return mask


def without_small_objects(mask: Mask, area: float) -> Mask:
    """An (h, w) label map without the objects of fewer than `area` pixels."""
    objects, count = ndimage.label(foreground(mask), structure=_DIAGONALS)
    sizes = np.bincount(objects.ravel(), minlength=count + 1)
    return np.where(sizes[objects] < area, 0, mask).astype(np.uint8)


def grown(mask: Mask, distance: float, spacing: tuple[float, float]) -> Mask:
    """An (h, w) label map whose contours to the background lie `distance` further outside.

    Args:
        mask: of known labels.
        distance: in millimeters, between centers of pixels.
        spacing: height and width of a pixel in millimeters.
    """
    if not mask.any():
        return mask
    away, nearest = ndimage.distance_transform_edt(mask == 0, sampling=spacing, return_indices=True)
    return np.where(away <= distance, mask[tuple(nearest)], 0).astype(np.uint8)


def shrunk(mask: Mask, distance: float, spacing: tuple[float, float]) -> Mask:
    """An (h, w) label map whose contours to the background lie `distance` further inside. Arguments as of `grown`.

    Of an object that would vanish, the pixels that are farthest from the background stay.
    """
    if mask.all():
        return mask
    depth = ndimage.distance_transform_edt(mask > 0, sampling=spacing)
    objects, count = ndimage.label(mask > 0, structure=_DIAGONALS)
    deepest = np.concatenate([[0.0], _maxima(depth, objects, range(1, count + 1))])[objects]
    return np.where((depth > distance) | ((depth == deepest) & (deepest <= distance)), mask, 0).astype(np.uint8)


def _maxima(values: NDArray[np.float64], objects: NDArray[np.int32], numbers: Iterable[int]) -> NDArray[np.float64]:
    """The highest value in each of the numbered objects, of which there may be none."""
    return np.array([values[objects == number].max() for number in numbers])


def _adjacent(slice_id: int, of_case: Ids, annotatable: NDArray[np.bool_], *, up: bool) -> int:
    """A slice of the case next to one, on the wanted side if it has a known label; itself if neither has."""
    for beside in (slice_id + 1, slice_id - 1) if up else (slice_id - 1, slice_id + 1):
        if beside in of_case and annotatable[beside]:
            return beside
    return slice_id
