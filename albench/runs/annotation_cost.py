"""What labels cost an annotator beyond their number: foreground pixels and contour length."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.masks import Mask, foreground
from albench.runs.records import AnnotationCost


@dataclass(frozen=True)
class MaskCost:
    """What one mask costs.

    Attributes:
        foreground_pixels: pixels of the working grid that belong to a class.
        contour_length: in pixels, see `contour_length`, of all classes, each with its own contour.
    """

    foreground_pixels: int
    contour_length: float


def mask_cost(mask: Mask) -> MaskCost:
    """What an (h, w) label map costs; nothing if it is empty, and nothing where the label is unknown."""
    filled = foreground(mask)
    rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
    if not len(rows):
        return MaskCost(0, 0.0)
    part = np.where(filled, mask, 0)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    labels = np.unique(part[part > 0])
    return MaskCost(int(np.count_nonzero(part)), math.fsum(contour_length(part == label) for label in labels))


def contour_length(mask: NDArray[np.bool_]) -> float:
    """Length in pixels of the contour of an (h, w) mask, by Crofton's formula in four directions [1].

    The crossings of the contour with lines along rows, columns and both diagonals are counted; counting pixel edges
    would make a circle 4 / pi times too long. A mask that touches the border of the array ends there.

    [1] Legland et al. Computation of Minkowski measures on 2D and 3D binary images. Image Anal Stereol 26, 2007.
    """
    padded = np.pad(mask, 1)
    straight = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    falling = np.count_nonzero(padded[1:, 1:] != padded[:-1, :-1])
    rising = np.count_nonzero(padded[1:, :-1] != padded[:-1, 1:])
    return math.pi / 8 * float(straight + (falling + rising) / math.sqrt(2))


def total_cost(masks: Iterable[MaskCost], cases: Iterable[Hashable]) -> AnnotationCost:
    """What a set of labels costs together.

    Args:
        masks: one cost per labeled slice.
        cases: the case of each slice.
    """
    masks = list(masks)
    return AnnotationCost(
        slices=len(masks),
        nonempty_slices=sum(mask.foreground_pixels > 0 for mask in masks),
        foreground_pixels=sum(mask.foreground_pixels for mask in masks),
        contour_length=math.fsum(mask.contour_length for mask in masks),
        cases=len(set(cases)),
    )
