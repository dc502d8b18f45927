"""The worklist: every slice that is asked for, where it is in each tool, and why it was asked for.

3D Slicer counts voxels from 0 (IJK in the data probe), and a slice view shows the distance along its normal in
millimeters, which counts to the right, front and top (`vtkMRMLSliceNode::GetSliceOffset`). ITK-SNAP counts voxels from
1 along the dimensions of the file (`GlobalUIModel::GetCursorPositionValueAndRange`, and `%1 of %2` beside a view).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from albench.annotation.label_colors import itk_snap_labels, slicer_colors
from albench.annotation.label_files import Asked
from albench.annotation.volume_files import image_path, write_once
from albench.data import FileGrid
from albench.errors import DataError
from albench.spreadsheet import csv_text

COLUMNS = (
    *("volume", "label_file", "axis", "dimension", "index_3d_slicer", "index_itk_snap", "offset_3d_slicer_mm"),
    *("right_mm", "front_mm", "up_mm", "rank", "score", "suggestion", "image"),
)
_DIGITS = 3  # of millimeters
_STRAIGHT = 1e-4  # of the length of a normal, up to which it is along the body


@dataclass(frozen=True)
class Reason:
    """Why a slice was asked for.

    Attributes:
        rank: from 1, the slice that is wanted most in the whole round.
        score: of the strategy; None if it gives none.
    """

    rank: int
    score: float | None = None


@dataclass(frozen=True)
class Task:
    """A volume on the worklist.

    Attributes:
        asked: its slices.
        label_file: as the worklist names it.
        reasons: of every slice that is asked for, by position.

    Raises:
        DataError: a slice has no reason.
    """

    asked: Asked
    label_file: str
    reasons: Mapping[int, Reason]

    def __post_init__(self) -> None:
        without = [position for position in self.asked.positions if position not in self.reasons]
        if without:
            raise DataError(
                f"a worklist must tell why slices are asked for, those at {without} of '{self.asked.case}' have no "
                "rank: give one to each"
            )


@dataclass(frozen=True)
class Place:
    """A slice of the worklist.

    Attributes:
        position: as in `SliceStack`.
        dimension: of the file across which the slice lies, `i`, `j` or `k`.
        slicer: its index there as 3D Slicer counts it.
        snap: as ITK-SNAP counts it.
        offset: millimeters that the view of 3D Slicer shows; if the slice is oblique, after `Rotate to volume plane`.
        center: millimeters to the right, front and top.
        reason: why it was asked for.
        suggestion: whether the label file has one.
    """

    position: int
    dimension: str
    slicer: int
    snap: int
    offset: float
    center: tuple[float, float, float]
    reason: Reason
    suggestion: bool


def places(task: Task) -> list[Place]:
    """The slices of a volume in the order in which they are drawn: along the file, whatever their ranks."""
    grid = task.asked.grid
    found = []
    for position in task.asked.positions:
        dimension, index = grid.index(position)
        x, y, z = grid.center(position)
        found.append(
            Place(
                position=position,
                dimension="ijk"[dimension],
                slicer=index,
                snap=index + 1,
                offset=round(float(np.dot(grid.normal(), (x, y, z))), _DIGITS),
                center=(round(x, _DIGITS), round(y, _DIGITS), round(z, _DIGITS)),
                reason=task.reasons[position],
                suggestion=position in task.asked.suggestions,
            )
        )
    return sorted(found, key=lambda place: place.slicer)


def is_oblique(grid: FileGrid) -> bool:
    """Whether slices are turned against the body, so that a view must be turned with them."""
    return max(map(abs, grid.normal())) < 1 - _STRAIGHT


def by_rank(tasks: Sequence[Task]) -> list[Task]:
    """The volumes with slices, that with the slice that is wanted most first, so that time which ends early is well
    spent.
    """
    wanted = [task for task in tasks if task.asked.positions]
    return sorted(wanted, key=lambda task: min(task.reasons[position].rank for position in task.asked.positions))


def worklist_csv(tasks: Sequence[Task]) -> str:
    """The worklist as CSV, a row for each slice, the volumes in the order of `by_rank`."""
    rows: list[Sequence[object]] = [COLUMNS]
    for task in by_rank(tasks):
        asked = task.asked
        for place in places(task):
            score = "" if place.reason.score is None else f"{place.reason.score:.6g}"
            rows.append(
                (
                    *(asked.case, task.label_file, asked.grid.axis, place.dimension, place.slicer, place.snap),
                    *(place.offset, *place.center, place.reason.rank, score),
                    *("yes" if place.suggestion else "no", str(image_path(asked.grid))),
                )
            )
    return csv_text(rows)


def write_worklist(folder: Path, tasks: Sequence[Task], classes: Sequence[str]) -> None:
    """Write worklist.csv, and the classes for both tools: labels-itk-snap.txt and labels-3d-slicer.ctbl.

    Raises:
        StoreError: a file with other content is there, or one cannot be written.
    """
    write_once(folder / "worklist.csv", worklist_csv(tasks).encode())
    write_once(folder / "labels-itk-snap.txt", itk_snap_labels(classes).encode())
    write_once(folder / "labels-3d-slicer.ctbl", slicer_colors(classes).encode())
