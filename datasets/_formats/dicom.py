"""DICOM: a folder with the slices of one series, one file with several frames, or a segmentation (DICOM-SEG).

SimpleITK decodes the slices of a series, pydicom reads the headers that say where they lie, and highdicom reads files
of several frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats.extra import library
from albench.datasets._formats.image import RAS_OF_LPS, StoredImage, affine_of_lps, no_volume, unreadable
from albench.errors import DataError

SUFFIXES = (".dcm", ".dicom", ".ima")
_MAGIC_AT, _MAGIC = 128, b"DICM"
_SEGMENTATION, _CONTOURS = "SEG", "RTSTRUCT"
_TAGS = (
    *("Modality", "SeriesInstanceUID", "SeriesDescription", "NumberOfFrames", "Rows", "Columns", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "RescaleSlope", "RescaleIntercept"),
)
_UNEVEN = 0.1  # of the distance of slices, by which it may vary
_TURNED = 1e-3  # by which a cosine of the orientation may vary


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or by its first bytes if it ends in none or in a number."""
    if path.name.lower().endswith(SUFFIXES):
        return True
    if path.suffix[1:].isalpha() or path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as file:
            file.seek(_MAGIC_AT)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def dicom_files(folder: Path) -> list[Path]:
    """The files of DICOM that lie in a folder itself, sorted by name."""
    return sorted(
        path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".") and is_dicom(path)
    )


def open_dicom(path: Path) -> StoredImage:
    """Read the headers of a file or of a folder. Raises DataError if they are not those of one volume."""
    library("SimpleITK", path)
    files = dicom_files(path) if path.is_dir() else [path]
    headers = {file: _header(file) for file in files}
    series: defaultdict[str, list[Path]] = defaultdict(list)
    for file, header in headers.items():
        series[str(header.get("SeriesInstanceUID", ""))].append(file)
    images = {uid: of for uid, of in series.items() if headers[of[0]].get("Modality") != _CONTOURS}
    images = {uid: of for uid, of in images.items() if headers[of[0]].get("Modality") != _SEGMENTATION} or images
    if not images:
        raise _contours(path)
    if len(images) > 1:
        named = " and ".join(_described(uid, of, headers[of[0]]) for uid, of in images.items())
        raise DataError(
            f"'{path}' must hold one DICOM series, it holds {named}: move each into a folder of its own, or list files"
        )
    chosen = next(iter(images.values()))
    first = headers[chosen[0]]
    if first.get("Modality") == _SEGMENTATION:
        if len(chosen) > 1:
            raise DataError(f"'{path}' must hold one DICOM-SEG file, it holds {len(chosen)}: keep one, or list files")
        return _segmentation(chosen[0])
    if len(chosen) == 1 and int(first.get("NumberOfFrames", 1) or 1) > 1:
        return _frames(chosen[0])
    return _stack(path, {file: headers[file] for file in chosen})


def _header(file: Path) -> Any:
    pydicom = library("pydicom", file)
    try:
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    except Exception as error:  # pydicom raises many kinds for a file that is damaged
        raise unreadable(file, "DICOM file", error) from error


def _stack(path: Path, headers: dict[Path, Any]) -> StoredImage:
    """A volume of one file per slice, in the order of their positions."""
    sitk = library("SimpleITK", path)
    try:
        geometry = {file: _geometry(header) for file, header in headers.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"'{path}' must give size, spacing, orientation and position of every slice, it does not ({error}): save "
            "the volume as .nii.gz"
        ) from error
    (rows, columns, spacing, directions, _), *others = geometry.values()
    for other in others:
        if other[:2] != (rows, columns) or not np.allclose(other[2], spacing, rtol=_TURNED):
            raise DataError(
                f"'{path}' must hold slices of one size and spacing, it does not: keep one series, without scouts"
            )
        if np.abs(other[3] - directions).max() > _TURNED:
            raise DataError(f"'{path}' must hold slices of one orientation, it does not: keep one, without scouts")
    normal = np.cross(directions[:, 0], directions[:, 1])
    heights = {file: float(position @ normal) for file, (*_, position) in geometry.items()}
    files = sorted(heights, key=lambda file: (heights[file], file.name))
    positions = np.stack([geometry[file][-1] for file in files])
    step = _step(path, np.array([heights[file] for file in files]), positions, normal, headers[files[0]])
    sides = np.array([spacing[1], spacing[0], 1.0])
    steep = np.column_stack([directions, step])
    several_scales = len({_scale(header) for header in headers.values()}) > 1

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames([str(file) for file in files])
        if several_scales:  # the first slice would decide the type of all
            reader.SetOutputPixelType(sitk.sitkFloat32)
        image = reader.Execute()  # has a name, because a view does not keep it
        values = np.array(sitk.GetArrayViewFromImage(image), dtype)
        return values.transpose(2, 1, 0, *range(3, values.ndim))

    color = int(headers[files[0]].get("SamplesPerPixel", 1) or 1)
    shape = (columns, rows, len(files))
    return StoredImage(
        path=path,
        shape=(*shape, color) if color > 1 else shape,
        affine=affine_of_lps(steep, sides, positions[0]),
        integer=all(slope.is_integer() and shift.is_integer() for slope, shift in map(_scale, headers.values())),
        voxels=voxels,
        vector=color > 1,
        color=color > 1,
    )


def _geometry(
    header: Any,
) -> tuple[int, int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows, columns, distances of rows and of columns, their directions (3, 2) along columns and rows, and position."""
    cosines = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3).T
    spacing = np.array(header.PixelSpacing, dtype=np.float64).reshape(2)
    position = np.array(header.ImagePositionPatient, dtype=np.float64).reshape(3)
    return int(header.Rows), int(header.Columns), spacing, cosines, position


def _step(
    path: Path,
    heights: NDArray[np.float64],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
    header: Any,
) -> NDArray[np.float64]:
    """(3,) from one slice to the next in millimeters."""
    if len(heights) == 1:
        return normal * float(header.get("SliceThickness", 0) or 1)
    distances = np.diff(heights)
    low, high = distances.min(), distances.max()
    if low <= _UNEVEN * high:
        twice = int((distances <= _UNEVEN * high).sum())
        raise DataError(
            f"'{path}' must hold one slice at every position, {twice} of {len(heights)} lie where another one does: "
            "keep one time point, echo or weighting"
        )
    if high - low > _UNEVEN * np.median(distances):
        raise DataError(
            f"'{path}' must hold slices at equal distances, they are {low:.3g} to {high:.3g} mm apart: add the missing "
            "slices, or save the volume as .nii.gz"
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(heights) - 1)
    return step


def _scale(header: Any) -> tuple[float, float]:
    return float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)


def _frames(file: Path) -> StoredImage:
    """A volume of which every slice is a frame, as enhanced CT, MR and PET have it."""
    stored = _multiframe(file, "imread")
    grid = stored.get_volume_geometry(allow_missing_positions=False, allow_duplicate_positions=False)
    if grid is None:
        raise DataError(
            f"'{file}' must hold one frame at each of equally distant positions, it does not: save one volume, for "
            "example as .nii.gz"
        )

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        values = stored.get_volume(dtype=np.float64, apply_real_world_transform=False, apply_presentation_lut=False)
        return np.asarray(values.array, dtype)

    color = int(stored.SamplesPerPixel)
    shape = tuple(grid.spatial_shape)
    return StoredImage(
        path=file,
        shape=(*shape, color) if color > 1 else shape,
        affine=RAS_OF_LPS @ np.asarray(grid.affine),
        integer=False,
        voxels=voxels,
        vector=color > 1,
        color=color > 1,
    )


def _segmentation(file: Path) -> StoredImage:
    """The segments of a DICOM-SEG, each with its number. Frames that have no segment may be missing."""
    stored = _multiframe(file, "seg.segread")
    grid = stored.get_volume_geometry()
    if grid is None:
        raise no_volume(file, (int(stored.Columns), int(stored.Rows)))

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        try:
            values = stored.get_volume(combine_segments=True).array
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"'{file}' must give every voxel at most one segment, it does not ({error}): save overlapping segments "
                "in files of their own, and probabilities as labels"
            ) from error
        return np.asarray(values, dtype)

    affine = RAS_OF_LPS @ np.asarray(grid.affine)
    return StoredImage(file, tuple(grid.spatial_shape), affine, integer=True, voxels=voxels, partial=True)


def _multiframe(file: Path, reader: str) -> Any:
    highdicom = library("highdicom", file)
    try:
        return attrgetter(reader)(highdicom)(file)
    except Exception as error:  # highdicom raises many kinds for a file that is damaged
        raise unreadable(file, "DICOM file", error) from error


def _contours(path: Path) -> DataError:
    return DataError(
        f"'{path}' must hold voxels, an RTSTRUCT holds contours: convert it to DICOM-SEG or .nii.gz on the grid of its "
        "series, for example in 3D Slicer (module Segmentations, export)"
    )


def _described(uid: str, files: Sequence[Path], header: Any) -> str:
    return f"'{header.get('SeriesDescription', '') or 'no description'}' ({uid}, {len(files)} files)"
