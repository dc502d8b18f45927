"""What an annotator gets: a label file per volume, unknown everywhere but on the slices that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from albench.annotation.volume_files import is_as_written, write_volume
from albench.data import FileGrid
from albench.errors import DataError
from albench.masks import UNKNOWN, Mask


@dataclass(frozen=True)
class Asked:
    """The slices of a volume that somebody is asked to draw.

    Attributes:
        case: name of the volume, which its label file has as well.
        grid: its voxels.
        positions: of the slices, as in `SliceStack`.
        suggestions: {position: (h, w) label map} on the grid of the file, with which asked slices are handed out;
            others are handed out as background.

    Raises:
        DataError: a position is not in the volume, or a suggestion is for no asked slice or of another shape.
    """

    case: str
    grid: FileGrid
    positions: tuple[int, ...]
    suggestions: Mapping[int, Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        depth, *sides = self.grid.slices
        outside = [position for position in self.positions if not 0 <= position < depth]
        if outside or len({*self.positions}) < len(self.positions):
            raise DataError(
                f"slices must be asked for once and be in their volume, '{self.case}' has 0 to {depth - 1} and got "
                f"{list(self.positions)}: choose from these"
            )
        for position, mask in self.suggestions.items():
            if position not in self.positions or mask.shape != tuple(sides):
                raise DataError(
                    f"a suggestion must be a mask of {sides[0]} x {sides[1]} pixels for a slice that is asked for, "
                    f"that for position {position} of '{self.case}' has shape {mask.shape}: bring it to "
                    "the grid of the file"
                )

    def handed_out(self, position: int) -> Mask:
        """(h, w) label map of a slice in the label file."""
        sides = self.grid.slices[1:]
        if position not in self.positions:
            return np.full(sides, UNKNOWN, dtype=np.uint8)
        return self.suggestions.get(position, np.zeros(sides, dtype=np.uint8))

    def slices(self) -> Mask:
        """(d, h, w) label map of the whole label file."""
        return np.stack([self.handed_out(position) for position in range(self.grid.slices[0])])


def write_label_file(path: Path, asked: Asked) -> None:
    """Write the label file of a volume as NIfTI, on the grid of its image and in bytes without sign.

    Raises:
        StoreError: a file with other content is there, or it cannot be written.
    """
    write_volume(path, asked.slices(), asked.grid)


def is_untouched(path: Path, asked: Asked) -> bool:
    """Whether nobody has saved a label file since it was written."""
    return is_as_written(path, asked.slices(), asked.grid)
