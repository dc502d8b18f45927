"""An image in a file of any format: its header is read, its voxels are read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.errors import DataError

Affine = NDArray[np.float64]
Voxels = Callable[[type[np.float32] | None], NDArray[np.generic]]

RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM and ITK count to the left and to the back
_LONGEST = 300  # characters of a reason
_SAME = 1e-2  # of a voxel, up to which a grid counts as a part of another one


@dataclass(frozen=True)
class StoredImage:
    """One image as its header describes it.

    Attributes:
        path: the file, the folder of a DICOM series, or `file.h5/name`.
        shape: (i, j, k), or (i, j, k, c) with several values per voxel, where c is more than 1.
        affine: (4, 4) from voxels to millimeters, x to the right, y to the front and z up.
        integer: whether the values are whole numbers because of their type.
        voxels: reads all values as their own type or as float32. It may raise anything about a file that is cut.
        vector: whether the c values belong together as components of one voxel, such as those of a color.
        color: whether they are a color.
        scaled: whether the header multiplies whole numbers or adds to them.
        partial: whether only the part of a grid is stored that has labels; voxels outside of it are 0.
        series: UID of the series of DICOM, as is `frame` that of its frame of reference; empty in other formats.
    """

    path: Path
    shape: tuple[int, ...]
    affine: Affine
    integer: bool
    voxels: Voxels
    vector: bool = False
    color: bool = False
    scaled: bool = False
    partial: bool = False
    series: str = ""
    frame: str = ""

    def read(self, dtype: type[np.float32] | None = None) -> NDArray[np.generic]:
        """All values, of `shape`. Raises DataError if the file is not complete."""
        with complete(self.path):
            return self.voxels(dtype).reshape(self.shape)


def placed(image: StoredImage, grid: StoredImage) -> StoredImage:
    """A partial image on the grid that it is a part of, or the image itself if it is no part of it.

    Axes may be in another order and of another direction.
    """
    if not image.partial:
        return image
    transform = np.linalg.solve(grid.affine, image.affine)  # from voxels of the part to those of the grid
    whole = np.rint(transform)
    turn, start = whole[:3, :3].astype(int), whole[:3, 3].astype(int)
    reach = np.append(np.array(image.shape[:3]) - 1.0, 1.0)
    if np.abs(transform - whole).dot(reach).max() > _SAME or not np.array_equal(np.abs(turn).sum(0), [1, 1, 1]):
        return image
    ends = np.stack([start, start + turn @ (np.array(image.shape[:3]) - 1)])
    low, high = ends.min(0), ends.max(0) + 1
    if (low < 0).any() or (high > grid.shape[:3]).any():
        return image
    inside = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    axes = np.abs(turn).argmax(1)

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        part = image.voxels(dtype).reshape(image.shape)
        part = part.transpose(*axes, *range(3, part.ndim))
        part = part[tuple(slice(None, None, sign) for sign in turn.sum(1))]
        values = np.zeros((*grid.shape[:3], *image.shape[3:]), part.dtype)
        values[inside] = part
        return values

    shape = (*grid.shape[:3], *image.shape[3:])
    return replace(image, shape=shape, affine=grid.affine, voxels=voxels, partial=False)


def affine_of_lps(directions: NDArray[np.float64], spacing: NDArray[np.float64], origin: NDArray[np.float64]) -> Affine:
    """The affine of a grid whose directions (3, 3), columns of unit length, and origin count to the left and back."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin
    made: Affine = RAS_OF_LPS @ affine
    return made


def unreadable(path: Path, what: str, error: Exception) -> DataError:
    """The sentence about a file that a library rejects."""
    return DataError(f"'{path}' must be a readable {what}, it is not ({_reason(error)}): replace or remove it")


def no_volume(path: Path, shape: tuple[int, ...]) -> DataError:
    """The sentence about an image that is no volume."""
    return DataError(f"'{path}' must be a 3D volume, it has shape {shape}: remove it or save one volume per file")


def no_real_numbers(path: Path, kind: str) -> DataError:
    """The sentence about complex voxels and others that are no numbers."""
    return DataError(
        f"'{path}' must have one real number per voxel, its type is {kind}: save what is to be segmented, such as the "
        "magnitude, as real numbers"
    )


@contextmanager
def complete(path: Path) -> Iterator[None]:
    """Turn any exception about a truncated file into one sentence; it is raised only when the voxels are read."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"'{path}' must be complete, it cannot be read to its end ({_reason(error)}): copy or download it again"
        ) from error


def _reason(error: Exception) -> str:
    """What a library says, in one line; it may quote the whole content of a file."""
    reason = " ".join(str(error).split())
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."
