"""Images of all formats that albench reads, opened as one kind of object.

`.nii` and `.nii.gz` need nothing else; `.mha`, `.mhd`, `.nrrd`, `.nhdr`, DICOM and HDF5 need the extra
`albench[formats]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from albench.datasets._formats import dicom_header, hdf5
from albench.datasets._formats.dicom import open_dicom, open_segments
from albench.datasets._formats.dicom_header import dicom_files, is_dicom, is_series, series_files
from albench.datasets._formats.hdf5 import Arrays, open_hdf5
from albench.datasets._formats.image import StoredImage, placed
from albench.datasets._formats.itk import detached_files, open_itk
from albench.datasets._formats.nifti import open_nifti
from albench.datasets._formats.parts import Parts, parts_of
from albench.datasets._formats.structures import open_region
from albench.errors import DataError, few
from albench.files import is_file, is_folder

__all__ = ["SUFFIXES", "Arrays", "Parts", "StoredImage", "exists", "files_of", "has_suffix", "holds_only_dicom"]
__all__ += ["no_format", "open_image", "open_part", "parts_of", "placed", "stem", "walk", "with_array"]

_LABELS_ONLY = ".seg.nrrd"  # of 3D Slicer
_OPENERS: Mapping[str, Callable[[Path, Arrays], StoredImage]] = {
    ".nii.gz": lambda path, _: open_nifti(path),
    ".nii": lambda path, _: open_nifti(path),
    ".mha": lambda path, _: open_itk(path, "MetaImage file", "MetaImageIO"),
    ".mhd": lambda path, _: open_itk(path, "MetaImage file", "MetaImageIO"),
    _LABELS_ONLY: lambda path, _: open_itk(path, "NRRD file", "NrrdImageIO"),
    ".nrrd": lambda path, _: open_itk(path, "NRRD file", "NrrdImageIO"),
    ".nhdr": lambda path, _: open_itk(path, "NRRD file", "NrrdImageIO"),
    **dict.fromkeys(hdf5.SUFFIXES, open_hdf5),
    **dict.fromkeys(dicom_header.SUFFIXES, lambda path, _: open_dicom(path)),
}
SUFFIXES = tuple(_OPENERS)  # a suffix that ends in another one comes first
_SHOWN = 8  # names in a sentence
_DETACHED = (".mha", ".mhd", ".nrrd", ".nhdr")


def open_image(path: Path, arrays: Arrays) -> StoredImage:
    """Read the header of an image.

    Args:
        path: a file, a folder with a DICOM series, the UID of one of several series in a folder, or `case.h5/image`.
        arrays: what HDF5 does not say.

    Raises:
        DataError: it cannot be read, its format needs a library that is missing, or it is no volume of real numbers.
    """
    if is_folder(path):
        if not dicom_files(path):
            raise DataError(f"'{path}' must hold the slices of a DICOM series, it holds none: name a file instead")
        return open_dicom(path)
    suffix = _suffix(hdf5.split(path)[0])
    if suffix is None:
        if is_dicom(path) or is_series(path):
            return open_dicom(path)
        raise DataError(no_format(path))
    return _OPENERS[suffix](path, arrays)


def open_part(
    path: Path, name: str, grid: StoredImage | None, arrays: Arrays, *, same_series: bool = True
) -> StoredImage:
    """The mask of one organ: the parts of this name, if a file of DICOM has several, or all of the file.

    Args:
        grid: the image that contours are filled on; None if it cannot be read.
        arrays, same_series: as in `open_image` and `open_region`.

    Raises:
        DataError: it cannot be read, or has several parts and none of this name.
    """
    parts = parts_of(path)
    if parts is None:
        return open_image(path, arrays)
    if parts.contours and grid is None:
        raise DataError(
            f"contours must have an image that they lie on, that of '{path}' cannot be read: repair it first"
        )
    if parts.contours and grid is not None:
        return open_region(parts.file, name, grid, same_series=same_series)
    numbers = [number for number, of in parts.names.items() if of == name]
    if not numbers and len(parts.names) > 1:
        listed = few([f"'{of}'" for of in parts.names.values()], _SHOWN)
        raise DataError(f"'{path}' must have a segment '{name}', it has none of this name: choose from {listed}")
    return open_segments(parts.file, numbers) if numbers else open_image(path, arrays)


def holds_only_dicom(folder: Path) -> bool:
    """Whether a folder has files of DICOM, at any depth, and none of another format."""
    found = False
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if is_dicom(path):
                found = True
            elif has_suffix(path):
                return False
    return found


def has_suffix(path: Path) -> bool:
    """Whether the name ends as that of a format, in capitals or not."""
    return _suffix(path) is not None


def holds_labels(path: Path) -> bool:
    """Whether a file is a mask, by its name."""
    return _suffix(path) == _LABELS_ONLY


def stem(path: Path) -> str:
    """The name without the suffix of its format."""
    suffix = _suffix(path)
    return path.name if suffix is None else path.name[: -len(suffix)]


def no_format(path: Path) -> str:
    """The sentence about a file of another format."""
    return (
        f"'{path}' must be a volume (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .h5, .dcm or a folder of DICOM slices), "
        "it is another format: convert it, for example to .nii.gz"
    )


def walk(folder: Path) -> Iterator[Path]:
    """The files at any depth that are not hidden, and the folders of DICOM series, which are one image each."""
    for path in sorted(folder.iterdir()) if is_folder(folder) else ():
        if path.name.startswith("."):
            continue
        if not path.is_dir() or dicom_files(path):
            yield path
        elif not path.is_symlink():
            yield from walk(path)


def exists(path: Path) -> bool:
    """Whether an image is there: a file, a folder, or the file of an array."""
    return is_file(path) or is_folder(path) or is_file(hdf5.split(path)[0]) or is_series(path)


def files_of(path: Path) -> list[Path]:
    """All files whose content decides what is read of an image. Raises DataError if one of them does not exist."""
    if is_folder(path) or is_series(path):
        return series_files(path)
    file = hdf5.split(path)[0]
    return [file, *(detached_files(file) if _suffix(file) in _DETACHED else ())]


def holds_arrays(path: Path) -> bool:
    """Whether a file is HDF5, by its name."""
    return path.name.lower().endswith(hdf5.SUFFIXES)


def in_array(path: Path) -> bool:
    """Whether a path is that of an array in an HDF5 file, such as `case.h5/image`."""
    return bool(hdf5.split(path)[1])


def with_array(path: Path, name: str) -> Path:
    """`case.h5/name` if a path is that of an HDF5 file without the name of an array, or the path itself."""
    return path / name if holds_arrays(path) else path


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
