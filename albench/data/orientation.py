"""From the voxels of a file to slices in one orientation of the body, and back."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

Axis = Literal["sagittal", "coronal", "axial"]
AXES: tuple[Axis, ...] = get_args(Axis)
Scalar = TypeVar("Scalar", bound=np.generic)


def oriented(
    values: NDArray[Scalar], affine: NDArray[np.float64], axis: Axis, *, copy: bool = True
) -> tuple[NDArray[Scalar], tuple[float, float, float]]:
    """(d, h, w) values and their spacing in millimeters; an axial slice has rows from front to back and columns from
    right to left of the body.

    Args:
        values: (i, j, k) as in the file.
        affine: from voxels to millimeters.
    """
    import nibabel as nib  # takes long, and rooms that import this one need no files

    order, flips = turns(affine, axis)
    turned = values.transpose(order)[flips]
    sizes = nib.affines.voxel_sizes(affine)
    dz, dy, dx = (float(sizes[dimension]) for dimension in order)
    return np.ascontiguousarray(turned) if copy else turned, (dz, dy, dx)


def restored(slices: NDArray[Scalar], affine: NDArray[np.float64], axis: Axis) -> NDArray[Scalar]:
    """(i, j, k) values as in the file, from (d, h, w) slices: the inverse of `oriented`.

    They are in the order of NIfTI in memory, which needs no copy for slices of a usual file.
    """
    order, flips = turns(affine, axis)
    return np.asfortranarray(slices[flips].transpose(np.argsort(order)))


def turns(affine: NDArray[np.float64], axis: Axis) -> tuple[tuple[int, int, int], tuple[slice, slice, slice]]:
    """The dimensions of the file that slices, rows and columns run along, and the direction of each in the file."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    turn = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
    of_body = np.argsort(turn[:, 0])  # the dimension of the file along x, y and z
    across = AXES.index(axis)
    order = [across, *(i for i in (2, 1, 0) if i != across)]
    signs = [turn[of_body[i], 1] for i in order]
    if axis != "axial":
        signs[1] = -signs[1]  # rows from the top of the body to the bottom
    first, second, third = (int(of_body[i]) for i in order)
    one, two, three = (slice(None, None, int(sign)) for sign in signs)
    return (first, second, third), (one, two, three)
