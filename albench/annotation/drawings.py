"""What a project needs of the files in which people draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from albench.data import Problem
from albench.masks import Mask


@dataclass(frozen=True)
class Drawn:
    """What was drawn in the file of a case.

    Attributes:
        masks: {position: (h, w) uint8 mask}, of every slice in which anything is labeled; 0 background, 1 to K the
            classes, UNKNOWN where nothing is. On the working grid, without padding.
        problems: everything that is wrong with the file, or deserves a look.
    """

    masks: Mapping[int, Mask]
    problems: tuple[Problem, ...] = ()


class Drawings(Protocol):
    """Files in which people draw, one for each case with queried slices.

    A position is the index of a slice along albench's axis, from the bottom of the volume, as in `SliceName`.
    """

    def write(self, folder: Path, case: str, positions: Sequence[int]) -> None:
        """Write the file of a case into a folder that is new: the slices at these ascending positions are to draw."""

    def read(self, folder: Path, case: str) -> Drawn:
        """What was drawn in the file of a case. What is wrong with it is no error but a problem of the answer."""
