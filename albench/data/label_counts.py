"""What a mask holds, in numbers: voxels of each class, unknown voxels, and whether slices between others are empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.masks import UNKNOWN

_FEWEST = 3  # slices with foreground, below which their distances tell nothing
_REGULAR = 0.8  # share of the distances that are multiples of a step, from which the others are exceptions


@dataclass(frozen=True)
class LabelCounts:
    """Numbers of one mask.

    Attributes:
        voxels: all of them.
        classes: (K,) voxels of the classes 1 to K.
        unknown: voxels whose label is not known.
        slices: all of them.
        filled: slices with foreground.
        unlabeled: slices without any known label.
        step: foreground stands in one of so many slices, with few exceptions, and labels of the slices between are
            known; 1 if it stands in neighbors too, None if fewer than three slices have foreground.
    """

    voxels: int
    classes: tuple[int, ...]
    unknown: int
    slices: int
    filled: int
    unlabeled: int
    step: int | None

    @classmethod
    def of(cls, mask: NDArray[np.uint8], classes: int) -> LabelCounts:
        """Count the labels of a (d, h, w) mask of 0, 1 to `classes`, and UNKNOWN."""
        # slice by slice, because bincount copies what it counts to 64 bits
        labels = np.array([np.bincount(plane.ravel(), minlength=UNKNOWN + 1) for plane in mask], dtype=np.int64)
        foreground = np.asarray(labels[:, 1 : classes + 1].any(1))
        known = np.asarray(labels[:, :UNKNOWN].any(1))
        total = labels.sum(0)
        return cls(
            voxels=mask.size,
            classes=tuple(total[1 : classes + 1].tolist()),
            unknown=int(total[UNKNOWN]),
            slices=len(mask),
            filled=int(foreground.sum()),
            unlabeled=int((~known).sum()),
            step=_step(foreground, known),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LabelCounts:
        """The numbers as JSON keeps them, where there are no tuples."""
        return cls(**{**content, "classes": tuple(content["classes"])})

    @property
    def foreground(self) -> int:
        """Voxels of all classes."""
        return sum(self.classes)


def _step(foreground: NDArray[np.bool_], known: NDArray[np.bool_]) -> int | None:
    """`LabelCounts.step` from (d,) whether slices have foreground and known labels."""
    positions = np.flatnonzero(foreground)
    if len(positions) < _FEWEST:
        return None
    distances = np.diff(positions)
    step = int(np.gcd.reduce(distances))
    if step == 1:
        usual = int(np.bincount(distances).argmax())
        step = usual if np.mean(distances % usual == 0) >= _REGULAR else 1
    between = slice(positions[0], positions[-1])
    return step if (known & ~foreground)[between].any() else 1
