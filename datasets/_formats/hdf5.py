"""HDF5, which h5py reads: an array in a file, named as `case.h5/image`. Such arrays have no header of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats.extra import library
from albench.datasets._formats.image import StoredImage, no_real_numbers, unreadable
from albench.errors import DataError, few

ArrayAxes = Literal["xyz", "zyx", "cxyz", "xyzc", "czyx", "zyxc"]

SUFFIXES = (".h5", ".hdf5")
_SHOWN = 5  # names of arrays in a sentence


@dataclass(frozen=True)
class Arrays:
    """What an array does not say about its volume.

    Attributes:
        axes: of an array, x to the right, y to the front, z up and c for channels, which an array may lack.
        spacing: size of a voxel in millimeters along x, y and z.
    """

    axes: ArrayAxes = "xyz"
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)


def open_hdf5(path: Path, arrays: Arrays) -> StoredImage:
    """Find the array. Raises DataError if it is missing or is no volume of real numbers."""
    h5py = library("h5py", path)
    file, name = split(path)
    try:
        with h5py.File(file) as content:
            found = content.get(name) if name else None
            names: list[str] = []
            content.visititems(lambda other, item: names.append(other) if isinstance(item, h5py.Dataset) else None)
            if not isinstance(found, h5py.Dataset):
                raise _no_array(file, name, names)
            shape, dtype = tuple(found.shape), found.dtype
    except DataError:
        raise
    except Exception as error:  # h5py raises many kinds for a file that is damaged
        raise unreadable(file, "HDF5 file", error) from error
    if dtype.kind not in "biuf":
        raise no_real_numbers(path, str(dtype))
    axes = arrays.axes if len(shape) == len(arrays.axes) else arrays.axes.replace("c", "")
    if len(shape) != len(axes):
        raise DataError(
            f"'{path}' must have the axes {arrays.axes} of data.h5_axes, it has shape {shape}: choose one of "
            f"{', '.join(get_args(ArrayAxes))}, or save one volume per array"
        )
    order = [axes.index(axis) for axis in "xyzc" if axis in axes]

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        with h5py.File(file) as content:
            return np.asarray(content[name][()].transpose(order), dtype)

    sides = tuple(shape[axis] for axis in order)
    return StoredImage(
        path=path,
        shape=sides[:3] if sides[3:] == (1,) else sides,
        affine=np.diag([*arrays.spacing, 1.0]),
        integer=dtype.kind != "f",
        voxels=voxels,
        vector=True,
    )


def split(path: Path) -> tuple[Path, str]:
    """The file of `case.h5/image`, and the name of the array; empty without one."""
    for file in (path, *path.parents):
        if file.name.lower().endswith(SUFFIXES) and not file.is_dir():
            return file, path.relative_to(file).as_posix() if file != path else ""
    return path, ""


def _no_array(file: Path, name: str, names: list[str]) -> DataError:
    listed = few([f"'{other}'" for other in names], _SHOWN) or "none"
    return DataError(
        f"'{file}' must hold the array '{name}', it holds {listed}: set data.h5_image and data.h5_label to the "
        "names of image and mask"
    )
