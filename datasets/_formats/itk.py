"""MetaImage and NRRD, which SimpleITK reads: `.mha`, `.mhd`, `.nrrd`, `.nhdr`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats.extra import library
from albench.datasets._formats.image import StoredImage, affine_of_lps, no_real_numbers, no_volume, unreadable
from albench.errors import DataError

_HEADER = 1 << 16  # bytes within which a header names the file of its voxels
_DETACHED = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_ONE_IMAGE, _WITH_TIME = 3, 4  # dimensions


def open_itk(path: Path, what: str, by: str) -> StoredImage:
    """Read the header. Raises DataError if it is not that of a volume of real numbers.

    Args:
        path: the file.
        what: its format in words.
        by: the class of ITK that reads the format.
    """
    sitk = simpleitk(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(by)  # ITK itself chooses by the suffix, which may be in capitals
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, what, _last_line(error)) from error
    dimensions, components = reader.GetDimension(), reader.GetNumberOfComponents()
    shape = tuple(reader.GetSize())
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if dimensions not in (_ONE_IMAGE, _WITH_TIME) or (dimensions == _WITH_TIME and components > 1):
        raise no_volume(path, shape)
    if "complex" in kind:
        raise no_real_numbers(path, kind)
    shape = shape[:_ONE_IMAGE] if shape[_ONE_IMAGE:] == (1,) else shape

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise _last_line(error) from error
        values = np.array(sitk.GetArrayViewFromImage(image), dtype)  # (k, j, i), with time before or components after
        return values.transpose(*reversed(range(dimensions)), *range(dimensions, values.ndim))

    directions = np.array(reader.GetDirection()).reshape(dimensions, dimensions)[:3, :3]
    return StoredImage(
        path=path,
        shape=(*shape, components) if components > 1 else shape,
        affine=affine_of_lps(directions, np.array(reader.GetSpacing()[:3]), np.array(reader.GetOrigin()[:3])),
        integer="integer" in kind,
        voxels=voxels,
        vector=components > 1,
        partial=path.name.lower().endswith(".seg.nrrd"),
    )


def simpleitk(path: Path) -> Any:
    """The module that reads a file, without its warnings. Raises DataError if it is not installed."""
    module = library("SimpleITK", path)
    module.ProcessObject.SetGlobalWarningDisplay(False)
    return module


def detached_files(path: Path) -> list[Path]:
    """The file with the voxels of a header. Raises DataError if there are several, or the file does not exist."""
    with path.open("rb") as file:
        start = file.read(_HEADER)
    header = re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0] if start.startswith(b"NRRD") else start
    found = _DETACHED.search(header)
    name = found[1].decode(errors="replace") if found else "LOCAL"
    if name.upper() == "LOCAL":
        return []
    if "%" in name or name.upper().startswith("LIST"):
        raise DataError(f"'{path}' must name one file with its voxels, it names '{name}': save it as one .mha or .nrrd")
    voxels = path.parent / name
    if not voxels.is_file():
        raise DataError(f"'{path}' must lie beside the file with its voxels, '{voxels}' does not exist: copy it there")
    return [voxels]


def _last_line(error: Exception) -> RuntimeError:
    """What ITK says in the end, after the places in its code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return RuntimeError(lines[-1] if lines else "no reason given")
