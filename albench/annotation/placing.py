"""Labels on the grid of their image, whatever a tool made of it: turned, cut off or enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from albench.data import FileGrid, StoredLabels
from albench.data.orientation import turns
from albench.errors import DataError

MaskGrid = Literal["own", "image"]

_NEAR = 0.25  # of a voxel, up to which voxels are those of the image
_ALIKE = 0.01  # up to which the sides of voxels are the same


@dataclass(frozen=True, eq=False)
class Placed:
    """Labels on the grid of their image.

    Attributes:
        part: (d, h, w) whole numbers of the voxels that the file and the grid have in common, a view of the file.
        start: (3,) slice, row and column of the first of them.
        outside: labels above 0 in the file that are not on the grid, which does not count `ignored`.
    """

    part: NDArray[np.generic]
    start: NDArray[np.int64]
    outside: int

    def over(self, position: int, below: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(h, w) labels of a slice, those of `below` where the file has none."""
        plane = below.astype(np.int64)
        if self.covers(position):
            first, last = self.start[1:], self.start[1:] + self.part.shape[1:]
            plane[first[0] : last[0], first[1] : last[1]] = self.part[position - self.start[0]]
        return plane

    def covers(self, position: int) -> bool:
        """Whether the file has voxels of a slice."""
        return bool(0 <= position - self.start[0] < len(self.part))

    def covers_all(self, position: int, sides: tuple[int, int]) -> bool:
        """Whether the file has all voxels of a slice of this height and width."""
        return self.covers(position) and self.part.shape[1:] == sides


def place(path: Path, labels: StoredLabels, grid: FileGrid, *, trust: MaskGrid, ignored: int) -> Placed:
    """Labels on the grid of their image, by their affine.

    Args:
        path: of the file, for the sentence.
        trust: `own` finds voxels by the header of the file; `image` takes them in the order of the image, whatever the
            header says.
        ignored: a label that may be cut off.

    Raises:
        DataError: the voxels of the file are not those of the grid, none of them is on it, or the file is neither cut
            nor enlarged but moved against the image.
    """
    values = labels.values
    if trust == "image":
        if values.shape != grid.shape:
            raise DataError(
                f"a label file must have the shape of its image, '{path}' has {values.shape} and '{grid.path}' "
                f"{grid.shape}: save it on the grid of the image"
            )
        return Placed(_as_slices(values, grid), np.zeros(3, np.int64), 0)
    turn, start = _whole_voxels(path, labels, grid)
    ends = np.stack([start, start + turn @ (np.array(values.shape) - 1)])
    low, high = ends.min(0), ends.max(0) + 1
    first, last = np.maximum(low, 0), np.minimum(high, grid.shape)
    if (first >= last).any():
        raise DataError(
            f"a label file must lie where its image is, no voxel of '{path}' is on '{grid.path}': compare their "
            "headers, it may be of another volume"
        )
    _check_cut(path, grid, low, np.array(grid.shape) - high)
    turned = values.transpose(np.abs(turn).argmax(1))[tuple(slice(None, None, int(sign)) for sign in turn.sum(1))]
    part = turned[tuple(slice(*pair) for pair in zip(first - low, last - low, strict=True))]
    order, directions = turns(grid.affine, grid.axis)
    ends = np.stack([first, np.array(grid.shape) - last])
    begins = [ends[0 if way.step == 1 else 1, dimension] for dimension, way in zip(order, directions, strict=True)]
    outside = 0 if part.size == values.size else _drawn(values, ignored) - _drawn(part, ignored)
    return Placed(_as_slices(part, grid), np.array(begins, np.int64), outside)


def _as_slices(values: NDArray[np.generic], grid: FileGrid) -> NDArray[np.generic]:
    """(d, h, w) view of (i, j, k) values on a part of the grid."""
    order, directions = turns(grid.affine, grid.axis)
    return values.transpose(order)[directions]


def _check_cut(path: Path, grid: FileGrid, before: NDArray[np.int64], after: NDArray[np.int64]) -> None:
    """Reject a file that reaches beyond its image at one end and falls short of it at the other.

    That is no cut; a tool that loses directions or the origin moves a file so.

    Args:
        before, after: (3,) voxels of the grid that a file leaves out at both ends, below 0 if it has more.
    """
    for name, one, other in zip("ijk", before.tolist(), after.tolist(), strict=True):
        if one * other < 0:
            raise DataError(
                f"a label file must lie within its image or around it, '{path}' reaches {-min(one, other)} voxels "
                f"beyond '{grid.path}' at one end of {name} and ends {max(one, other)} before it at the other: compare "
                "their headers, a tool may have lost directions or the origin, or take its voxels as they are with "
                "--mask-grid image"
            )


def _drawn(values: NDArray[np.generic], ignored: int) -> int:
    return int(np.count_nonzero((values != 0) & (values != ignored)))


def _whole_voxels(path: Path, labels: StoredLabels, grid: FileGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(3, 3) signed permutation and (3,) offset from voxels of the file to those of the grid."""
    exact = np.linalg.solve(grid.affine, labels.affine)
    whole = np.rint(exact)
    turn, start = whole[:3, :3].astype(np.int64), whole[:3, 3].astype(np.int64)
    reach = [(0, side - 1) for side in labels.values.shape]
    corners = np.array(np.meshgrid(*reach, indexing="ij")).reshape(3, -1)
    off = grid.affine[:3] @ ((exact - whole) @ np.vstack([corners, np.ones(corners.shape[1])]))
    distance = float(np.linalg.norm(off, axis=0).max())
    is_turn = np.array_equal(np.abs(turn).sum(0), [1, 1, 1]) and np.array_equal(np.abs(turn).sum(1), [1, 1, 1])
    if is_turn and distance <= _NEAR * min(grid.spacing):
        return turn, start
    sizes, expected = (nib.affines.voxel_sizes(affine) for affine in (labels.affine, grid.affine))
    if not np.allclose(np.sort(sizes), np.sort(expected), rtol=_ALIKE):
        raise DataError(
            f"a label file must have the voxels of its image, those of '{path}' have {_in_words(sizes)} mm and those "
            f"of '{grid.path}' {_in_words(expected)} mm: save it with the image as reference, without resampling"
        )
    if is_turn:
        raise DataError(
            f"a label file must lie on the voxels of its image, the corners of '{path}' are up to {distance:.3g} mm "
            f"off those of '{grid.path}': save it with the image as reference, or take its voxels as they are with "
            "--mask-grid image if only its header is wrong"
        )
    raise DataError(
        f"a label file must have the axes of its image in any order and direction, those of '{path}' are rotated or "
        f"sheared against '{grid.path}': save it with the image as reference, without transforms"
    )


def _in_words(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes)
