"""Volumes as NIfTI on the grid of an image: same voxels, same place in the body, and nothing is ever overwritten."""

from __future__ import annotations

import gzip
import os
import zlib
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from albench.data import FileGrid
from albench.errors import DataError, StoreError
from albench.files import atomic_write, is_file

# Where the voxels are, in the fields of NIfTI-1: any tool that applies a rule of its own to them finds the label file
# where it finds the image.
_PLACE = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_SCANNER = 1  # code of coordinates that a scanner gave
_LEVEL = 6  # of compression


def write_volume(path: Path, slices: NDArray[np.generic], grid: FileGrid) -> None:
    """Write (d, h, w) slices as NIfTI with the voxels of an image.

    Qform, sform and unit are those of the image if that is NIfTI; otherwise both give its affine, and the qform is left
    out where the axes are not perpendicular. Equal content makes equal bytes, and writing it again changes nothing.

    Args:
        path: `.nii.gz` or `.nii`.
        slices: of the data type that is stored.

    Raises:
        StoreError: a file with other content is there, or it cannot be written.
        DataError: the slices are not those of the image.
    """
    if slices.shape != grid.slices:
        raise DataError(
            f"slices must have the shape of their image, got {slices.shape} and '{grid.path}' has {grid.slices}: bring "
            "them to the grid of the file"
        )
    content = _content(slices, grid)
    write_once(path, gzip.compress(content, _LEVEL, mtime=0) if path.name.endswith(".gz") else content)


def is_as_written(path: Path, slices: NDArray[np.generic], grid: FileGrid) -> bool:
    """Whether a file holds what `write_volume` wrote, to the byte; a tool that saves it changes something."""
    content = path.read_bytes()
    with suppress(OSError, EOFError, zlib.error):  # damaged, so that it is not
        return _content(slices, grid) == (gzip.decompress(content) if path.name.endswith(".gz") else content)
    return False


def _content(slices: NDArray[np.generic], grid: FileGrid) -> bytes:
    content: bytes = nib.Nifti1Image(grid.from_slices(slices), None, _header(grid, slices.dtype)).to_bytes()
    return content


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, atomically; one with the same content stays.

    Raises:
        StoreError: there is one with other content, or it cannot be written.
    """
    if is_file(path):
        if path.read_bytes() != content:
            raise StoreError(
                f"a file that somebody may have edited is never overwritten, '{path}' has other content: choose "
                "another folder or move it away"
            )
        return
    with atomic_write(path) as file:
        file.write(content)


def image_path(grid: FileGrid) -> Path:
    """Where an image is, as an absolute path in which links are kept."""
    return Path(os.path.abspath(grid.path))  # noqa: PTH100


def _header(grid: FileGrid, dtype: np.dtype[np.generic]) -> Nifti1Header:
    """The header of a volume on a grid."""
    header = Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(grid.shape)
    found = _of_image(grid.path)
    if found is not None:
        sides = np.ones(8)
        sides[:4] = found["pixdim"][:4]  # the first is the handedness of the qform
        header["pixdim"] = sides
        for field in _PLACE:
            header[field] = found[field]
        return header
    header.set_sform(grid.affine, _SCANNER)
    header.set_qform(grid.affine, _SCANNER, strip_shears=True)
    header.set_xyzt_units("mm")
    if not np.allclose(header.get_qform(), grid.affine, atol=1e-3 * min(grid.spacing)):
        header["qform_code"] = 0
    return header


def _of_image(path: Path) -> Nifti1Header | None:
    """The header of an image in NIfTI; None of another format."""
    try:
        header = nib.load(path).header
    except (ImageFileError, OSError):
        return None
    return header if isinstance(header, Nifti1Header) else None
