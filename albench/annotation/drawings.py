"""What a project needs of the files in which people draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from albench.data import Problem
from albench.masks import Mask
from albench.runs.records import SliceName


@dataclass(frozen=True)
class AskedSlice:
    """A slice on a worklist, and why it is there.

    Attributes:
        name: of the slice.
        rank: from 1, the slice that is wanted most.
        score: of the strategy; None if it gives none, and of initial slices.
    """

    name: SliceName
    rank: int
    score: float | None = None


def by_volume(asked: Sequence[AskedSlice]) -> dict[str, list[AskedSlice]]:
    """The slices of each volume, in the order in which volumes are wanted."""
    found: dict[str, list[AskedSlice]] = {}
    for one in asked:
        found.setdefault(one.name.case, []).append(one)
    return found


@dataclass(frozen=True)
class Drawn:
    """What was drawn in the files of a worklist.

    Attributes:
        masks: (h, w) uint8 mask of every slice that is drawn, also of those that nobody asked for: 0 background, 1 to K
            the classes, UNKNOWN where nothing is. On the working grid, without padding.
        problems: everything that is wrong with the files, or deserves a look.
    """

    masks: Mapping[SliceName, Mask]
    problems: tuple[Problem, ...] = ()


Suggestions = Mapping[SliceName, Mask]
"""(h, w) label maps, on the grids of the files, with which slices are handed out."""


class Drawings(Protocol):
    """Files in which people draw. Masks that cannot be used are left out of an answer and told among its problems."""

    def write(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions, title: str) -> None:
        """Write all files of a worklist, which has a title, into an empty folder."""

    def read(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions) -> Drawn:
        """What was drawn in the files of a worklist, or of another folder where they were saved."""
