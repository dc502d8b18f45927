"""What labels cost an annotator, beyond their number: pixels painted and outlines drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from albench.masks import Mask


@dataclass(frozen=True)
class Effort:
    """What it takes to draw one mask.

    Attributes:
        foreground: pixels of the working grid inside the mask.
        contour: length of its outline in pixels, see `contour_length`.
    """

    foreground: int
    contour: float


def effort(mask: Mask) -> Effort:
    """What an (h, w) mask costs; nothing if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Effort(0, 0.0)
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Effort(int(part.sum(dtype=np.int64)), contour_length(part))


def contour_length(mask: Mask) -> float:
    """Length in pixels of the outline of an (h, w) mask, by Crofton's formula in four directions [1].

    The outline is crossed by lines along rows, columns and both diagonals; pixel edges alone would make a circle
    4 / pi times too long. What touches the border of the array ends there.

    [1] Legland et al. Computation of Minkowski measures on 2D and 3D binary images. Image Anal Stereol 26, 2007.
    """
    padded = np.pad(mask.astype(bool), 1)
    straight = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    falling = np.count_nonzero(padded[1:, 1:] != padded[:-1, :-1])
    rising = np.count_nonzero(padded[1:, :-1] != padded[:-1, 1:])
    return math.pi / 8 * float(straight + (falling + rising) / math.sqrt(2))


def total(labels: Iterable[Effort], cases: Iterable[int]) -> dict[str, float]:
    """What a set of labels costs together: the axes on which strategies can be compared.

    Args:
        labels: one per slice.
        cases: the case of each slice.
    """
    labels = list(labels)
    return {
        "slices": len(labels),
        "nonempty": sum(label.foreground > 0 for label in labels),
        "foreground": sum(label.foreground for label in labels),
        "contour": math.fsum(label.contour for label in labels),
        "cases": len(set(cases)),
    }
