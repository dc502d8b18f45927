"""The voxels of a volume as its file has them: where each slice lies in the file and in the body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.data.orientation import Axis, Scalar, oriented, restored, turns
from albench.errors import DataError

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class FileGrid:
    """The voxels of a volume as its file has them. Positions of slices count as in `SliceStack`.

    Attributes:
        file: of the image; None for slices that have none.
        shape: (i, j, k) voxels along the dimensions of the file.
        affine: (4, 4) from voxels to millimeters, x to the right, y to the front and z up.
        axis: that slices lie across.
    """

    file: Path | None
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    axis: Axis

    @classmethod
    def of_stack(cls, slices: tuple[int, int, int], spacing: tuple[float, float, float]) -> FileGrid:
        """That of slices without a file: axial ones, with rows from front to back and columns from right to left.

        Args:
            slices: their number, rows and columns.
            spacing: millimeters along them.
        """
        dz, dy, dx = spacing
        depth, height, width = slices
        return cls(None, (width, height, depth), np.diag([-dx, -dy, dz, 1.0]), "axial")

    @property
    def path(self) -> Path:
        """Of the image. Raises DataError if there is none."""
        if self.file is None:
            raise DataError(
                "only volumes in files can be drawn on, these are generated or read otherwise: choose a dataset of "
                "files, such as folder"
            )
        return self.file

    @property
    def slices(self) -> tuple[int, int, int]:
        """Number, height and width of the slices, in voxels of the file."""
        depth, height, width = (self.shape[dimension] for dimension in self._turns[0])
        return depth, height, width

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimeters between slices, rows and columns."""
        return oriented(np.broadcast_to(np.uint8(0), self.shape), self.affine, self.axis, copy=False)[1]

    def to_slices(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """(d, h, w) slices of (i, j, k) values."""
        return oriented(values, self.affine, self.axis)[0]

    def from_slices(self, slices: NDArray[Scalar]) -> NDArray[Scalar]:
        """(i, j, k) values of (d, h, w) slices."""
        return restored(slices, self.affine, self.axis)

    def index(self, position: int) -> tuple[int, int]:
        """The dimension of the file across which a slice lies, 0 to 2, and its index along it, from 0."""
        (dimension, *_), (direction, *_) = self._turns
        return dimension, position if direction.step == 1 else self.shape[dimension] - 1 - position

    def center(self, position: int) -> Point:
        """Where the middle of a slice is, in millimeters to the right, to the front and up."""
        dimension, index = self.index(position)
        voxel = (np.array(self.shape) - 1) / 2
        voxel[dimension] = index
        x, y, z = (float(value) for value in self.affine[:3, :3] @ voxel + self.affine[:3, 3])
        return x, y, z

    @property
    def indices(self) -> NDArray[np.int64]:
        """(d,) index of every slice along the dimension of the file across which slices lie."""
        return np.array([self.index(position)[1] for position in range(self.slices[0])])

    @property
    def millimeters(self) -> NDArray[np.float64]:
        """(d,) where the center of each slice lies along the axis of the body that is nearest to that of the slices."""
        nearest = int(np.abs(self.affine[:3, self.index(0)[0]]).argmax())
        return np.array([self.center(position)[nearest] for position in range(self.slices[0])])

    def filled(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """(i, j, k) the volume in which each slice is filled with its value of (d,)."""
        return self.from_slices(np.broadcast_to(values[:, None, None], self.slices))

    def normal(self) -> Point:
        """The direction across the slices, of length 1: that of right, front or up which is next to it."""
        (_, row, column), _ = self._turns
        across = np.cross(self.affine[:3, row], self.affine[:3, column])
        across /= np.linalg.norm(across)
        x, y, z = (float(value) for value in across * np.sign(across[np.abs(across).argmax()]))
        return x, y, z

    @cached_property
    def _turns(self) -> tuple[tuple[int, int, int], tuple[slice, slice, slice]]:
        """As `turns`, of which every position asks."""
        return turns(self.affine, self.axis)


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """The labels in a file, whatever its format.

    Attributes:
        values: (i, j, k) whole numbers.
        affine: as in `FileGrid`.
        partial: whether the file stores only the part of a grid that has labels, so that all else is 0.
    """

    values: NDArray[np.generic]
    affine: NDArray[np.float64]
    partial: bool = False
