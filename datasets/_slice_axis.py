"""The axis that the volumes of a dataset are cut along: that of the largest spacing, decided once from all headers.

A volume is thick along the axis whose spacing exceeds both others by more than 10 %. All other volumes, isotropic ones
and those with two equal largest spacings, count as axial. A file of one slice is thick across this slice, whatever its
header says of a spacing that nothing was measured along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from albench.data import AXES, Axis, Problem
from albench.errors import few

AxisChoice = Literal["auto", "sagittal", "coronal", "axial"]

_ALIKE = 1.1 * (1 + 1e-6)  # ratio up to which two spacings count as equal, with what float32 headers round


@dataclass(frozen=True)
class Grid:
    """The voxels of a volume along the axes of the body, x (sagittal), y (coronal) and z (axial).

    Attributes:
        shape: numbers of voxels.
        spacing: millimeters.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def thick(self) -> Axis | None:
        """The axis of thick slices; None if no axis is clearly the thickest."""
        if self.shape.count(1) == 1:
            return AXES[self.shape.index(1)]
        *_, second, largest = sorted(self.spacing)
        return AXES[self.spacing.index(largest)] if largest > _ALIKE * second else None

    def slices(self, axis: Axis) -> int:
        """How many slices lie along an axis."""
        return self.shape[AXES.index(axis)]

    def sides(self, axis: Axis) -> tuple[int, int]:
        """Height and width of a slice in voxels."""
        x, y, z = self.shape
        return {"sagittal": (z, y), "coronal": (z, x), "axial": (y, x)}[axis]

    def __str__(self) -> str:
        parts = [f"{axis} {size:.3g}" for axis, size in zip(AXES, self.spacing, strict=True)]
        return f"{', '.join(parts)} mm"


def decide(grids: Iterable[Grid]) -> Axis:
    """The axis that most volumes are thick along; axial if there are none, or two axes have as many."""
    counts = Counter(grid.thick or "axial" for grid in grids)
    ranked = counts.most_common(2)
    clear = len(ranked) == 1 or (len(ranked) > 1 and ranked[0][1] > ranked[1][1])
    return ranked[0][0] if clear else "axial"


def axis_notes(grids: Mapping[str, Grid], axis: Axis, *, by_spacing: bool) -> Iterator[str]:
    """What a user should know about the cutting of volumes, which are given by case.

    Args:
        axis: of all slices.
        by_spacing: whether the spacing decided it.
    """
    total = len(grids)
    if by_spacing and axis != "axial":
        thick = sum(grid.thick == axis for grid in grids.values())
        yield f"slices are {axis}, because {thick} of {total} volumes are thickest that way: data.axis overrides it"
    others = [case for case, grid in grids.items() if grid.thick not in (None, axis)]
    if others:
        yield (
            f"the slices of {len(others)} of {total} volumes are {axis} although their largest spacing is not along "
            f"that axis, {_named(others)}: choose the axis of all with data.axis, or leave these out"
        )
    single = [case for case, grid in grids.items() if grid.slices(axis) == 1]
    if single:
        yield _without_neighbors(single, total)


def axis_problems(title: str, grids: Mapping[str, Grid], files: Mapping[str, Path], axis: Axis) -> Iterator[Problem]:
    """A warning for every volume whose thick slices are cut, and one about volumes of one slice.

    Args:
        title: of the dataset.
        grids: by case.
        files: of the images, by case.
        axis: of all slices.
    """
    for case, grid in grids.items():
        if grid.thick not in (None, axis):
            sentence = (
                f"a volume should be cut along its largest spacing, '{files[case]}' has {grid} and its slices are "
                f"{axis}: set data.axis={grid.thick} for all volumes, or leave it out"
            )
            yield Problem(str(files[case]), sentence, serious=False)
    single = [case for case, grid in grids.items() if grid.slices(axis) == 1]
    if single:
        yield Problem(title, _without_neighbors(single, len(grids)), serious=False)


def _without_neighbors(single: list[str], total: int) -> str:
    """The sentence about cases of one slice."""
    which = "every volume has" if len(single) == total else f"{len(single)} of {total} volumes have"
    return (
        f"{which} one slice, {_named(single)}, so that there is nothing to ask between slices: choose a strategy that "
        "needs no neighbors, such as entropy, and leave data.context at 0, because it would repeat the slice itself"
    )


def _named(cases: list[str]) -> str:
    return few([f"'{case}'" for case in cases])
