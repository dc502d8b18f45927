"""NIfTI, which nibabel reads: `.nii` and `.nii.gz`."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.fileholders import FileHolder
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from albench.datasets._formats.image import StoredImage, no_real_numbers, no_volume, unreadable
from albench.errors import DataError

_ONE_SLICE = 2  # dimensions of an image without depth
_ONE_IMAGE = 3  # dimensions of an image with one value per voxel
_VECTOR = 4  # index of the dimension in which NIfTI stores the components of a vector
_INTENT_VECTOR = 1007
_COLORS = {("R", "G", "B"): "RGB", ("R", "G", "B", "A"): "RGB"}  # opacity, mostly 255 everywhere, measures nothing
_MILLIMETERS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # by the code of the unit: unknown, meters, millimeters, microns
_REST = 1 << 20  # bytes that are read at once behind the voxels


def open_nifti(path: Path) -> StoredImage:
    """Read the header. Raises DataError if it is not that of a volume of real numbers or colors."""
    try:
        image = _loaded(path)
    except Exception as error:  # nibabel and the decompressor raise many kinds for a file that is not an image
        raise unreadable(path, "NIfTI file", error) from error
    if isinstance(image, SpatialImage) and len(image.shape) == _ONE_SLICE:
        image = type(image)(cast(ArrayProxy, image.dataobj).reshape((*image.shape, 1)), image.affine, image.header)
    shape = tuple(getattr(image, "shape", ()))
    several = [index for index, side in enumerate(shape) if index >= _ONE_IMAGE and side != 1]
    if not isinstance(image, SpatialImage) or len(shape) < _ONE_IMAGE or len(several) > 1:
        raise no_volume(path, shape)
    header = cast(Nifti1Header, image.header)  # that of NIfTI-1 or of NIfTI-2, which is a subclass
    dtype = image.get_data_dtype()
    color = None if several else _COLORS.get(dtype.names or ())
    if dtype.kind not in "iuf" and not color:
        raise no_real_numbers(path, str(header.get_value_label("datatype")))
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MILLIMETERS:
        raise DataError(
            f"'{path}' must have a voxel size in millimeters, meters or microns, its header has code {unit} as unit: "
            "correct xyzt_units"
        )
    counts = (len(color),) if color else tuple(shape[index] for index in several)
    proxy = image.dataobj
    scaled = getattr(proxy, "slope", 1) != 1 or getattr(proxy, "inter", 0) != 0

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        values = _voxels(path, proxy, None if color else dtype)
        if color:
            stacked = np.stack([values[name] for name in color], -1)
            return stacked if dtype is None else stacked.astype(dtype)
        return values

    return StoredImage(
        path=path,
        shape=(*shape[:_ONE_IMAGE], *counts),
        affine=image.affine * np.array([[_MILLIMETERS[unit]]] * 3 + [[1.0]]),
        integer=dtype.kind != "f" and not scaled,
        voxels=voxels,
        vector=bool(color) or _VECTOR in several or int(header["intent_code"]) == _INTENT_VECTOR,
        color=bool(color),
        scaled=dtype.kind != "f" and scaled,
    )


def _loaded(path: Path) -> object:
    """The image of a file, also of c.Nii, instead of which nibabel looks for c.nii."""
    try:
        return nib.load(path)
    except FileNotFoundError:
        return nib.Nifti1Image.from_file_map({"image": FileHolder(str(path))})


def _voxels(path: Path, proxy: object, dtype: type[np.float32] | None) -> NDArray[Any]:
    """All voxels, scaled as the header says. Raises if the file is cut or the checksum of gzip is wrong."""
    if path.suffix.lower() != ".gz" or not isinstance(proxy, ArrayProxy):
        return np.asarray(proxy, dtype)
    with gzip.open(path) as stream:
        spec = (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter)
        values = np.asarray(ArrayProxy(stream, spec), dtype)
        while stream.read(_REST):  # the checksum comes after the voxels, where nibabel stops
            pass
        return values
