"""Where the slices of a case lie in its file and in the body, so that a viewer finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Placement:
    """The grid of the file of a case, and the slices of the case on it.

    Attributes:
        shape: (i, j, k) voxels of the file.
        affine: (4, 4) from voxels of the file to millimeters, x to the right, y to the front and z up.
        axis: of the file that slices lie across: 0, 1 or 2.
        indices: (d,) index along that axis of every position.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    axis: int
    indices: NDArray[np.int64]

    @classmethod
    def of_stack(cls, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Placement:
        """That of slices without a file: axial ones, with rows from front to back and columns from right to left.

        Args:
            shape: slices, rows and columns.
            spacing: millimeters along them.
        """
        dz, dy, dx = spacing
        return cls(shape[::-1], np.diag([-dx, -dy, dz, 1.0]), 2, np.arange(shape[0]))

    @property
    def millimeters(self) -> NDArray[np.float64]:
        """(d,) where the center of each slice lies along the axis of the body that is nearest to that of the slices."""
        centers = np.tile((np.array(self.shape) - 1) / 2, (len(self.indices), 1))
        centers[:, self.axis] = self.indices
        nearest = int(np.abs(self.affine[:3, self.axis]).argmax())
        return np.asarray(centers @ self.affine[nearest, :3] + self.affine[nearest, 3])

    def filled(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(i, j, k) the volume on the grid of the file in which each slice is filled with its value of (d,)."""
        along = np.zeros(self.shape[self.axis], values.dtype)
        along[self.indices] = values
        sides = [1, 1, 1]
        sides[self.axis] = -1
        return np.broadcast_to(along.reshape(sides), self.shape)
