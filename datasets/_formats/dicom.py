"""DICOM: a folder with the slices of one series, one file with several frames, or a segmentation (DICOM-SEG).

SimpleITK decodes the slices of a series, or pydicom those that it would change, and highdicom reads files of several
frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats.dicom_header import CONTOURS, SEGMENTATION, Header, header_of, readable, series_files
from albench.datasets._formats.extra import library
from albench.datasets._formats.image import RAS_OF_LPS, StoredImage, affine_of_lps, no_volume
from albench.datasets._formats.itk import simpleitk
from albench.errors import DataError, few

_INVERTED = "MONOCHROME1"  # high values are shown dark
_UNEVEN = 0.1  # of the distance of slices, by which it may vary
_TURNED = 1e-3  # by which a cosine of the orientation may vary


def open_dicom(path: Path) -> StoredImage:
    """Read the headers of a file or of a folder. Raises DataError if they are not those of one volume."""
    files = [path] if path.is_file() else series_files(path)
    headers = {file: header_of(file) for file in files}
    series: defaultdict[str, list[Path]] = defaultdict(list)
    for file, header in headers.items():
        if header.modality != CONTOURS and 0 not in header.shape:  # reports and plans have no pixels
            series[header.series].append(file)
    images = {uid: of for uid, of in series.items() if headers[of[0]].is_image} or series
    if not images:
        raise _no_voxels(path, {header.modality for header in headers.values()})
    if len(images) > 1:
        named = " and ".join(_described(headers[of[0]], of) for of in images.values())
        raise DataError(
            f"'{path}' must hold one DICOM series, it holds {named}: move each into a folder of its own, or list files"
        )
    chosen = next(iter(images.values()))
    if headers[chosen[0]].modality == SEGMENTATION:
        if len(chosen) > 1:
            raise DataError(f"'{path}' must hold one DICOM-SEG file, it holds {len(chosen)}: keep one, or list files")
        return _segmentation(chosen[0])
    if len(chosen) == 1 and headers[chosen[0]].frames > 1:
        return _frames(chosen[0])
    return _stack(path, {file: headers[file] for file in chosen})


def _stack(path: Path, headers: Mapping[Path, Header]) -> StoredImage:
    """A volume of one file per slice, in the order of their positions."""
    sitk = simpleitk(path)
    planes = {file: header.plane for file, header in headers.items() if header.plane is not None}
    if len(planes) < len(headers):
        raise DataError(
            f"'{path}' must give spacing, orientation and position of every slice, {len(headers) - len(planes)} of "
            f"{len(headers)} do not: save the volume as .nii.gz"
        )
    first, plane = next(iter(headers.values())), next(iter(planes.values()))
    if {header.shape for header in headers.values()} != {first.shape} or any(
        not np.allclose(other.spacing, plane.spacing, rtol=_TURNED) for other in planes.values()
    ):
        raise DataError(
            f"'{path}' must hold slices of one size and spacing, it does not: keep one series, without scouts"
        )
    if any(np.abs(other.directions - plane.directions).max() > _TURNED for other in planes.values()):
        raise DataError(f"'{path}' must hold slices of one orientation, it does not: keep one, without scouts")
    normal = np.cross(*plane.directions.T)
    heights = {file: float(other.position @ normal) for file, other in planes.items()}
    files = sorted(heights, key=lambda file: (heights[file], file.name))
    positions = np.stack([planes[file].position for file in files])
    step = _step(path, np.array([heights[file] for file in files]), positions, normal * first.thickness)
    scales = {header.scale for header in headers.values()}
    stored = {header.stored for header in headers.values()}
    color = first.shape[2:]

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        if not color and (len(stored) > 1 or _INVERTED in next(iter(stored))):
            return _decoded(files, headers, dtype)
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames([str(file) for file in files])
        if len(scales) > 1:  # the first slice would decide the type of all
            reader.SetOutputPixelType(sitk.sitkFloat32)
        try:
            image = reader.Execute()  # has a name, because a view does not keep it
        except RuntimeError:
            if color:
                raise
            return _decoded(files, headers, dtype)
        values = np.array(sitk.GetArrayViewFromImage(image), dtype)
        return values.transpose(2, 1, 0, *range(3, values.ndim))

    return StoredImage(
        path=path,
        shape=(*first.shape[:2], len(files), *color),
        affine=affine_of_lps(np.column_stack([plane.directions, step]), np.append(plane.spacing, 1.0), positions[0]),
        integer=all(value.is_integer() for scale in scales for value in scale),
        voxels=voxels,
        vector=bool(color),
        color=bool(color),
        series=first.series,
        frame=first.frame,
    )


def _decoded(
    files: Sequence[Path], headers: Mapping[Path, Header], dtype: type[np.float32] | None
) -> NDArray[np.generic]:
    """The values of slices as pydicom decodes each by itself.

    ITK turns MONOCHROME1 around, which is how pixels are shown and not what they measure, reads all slices with the
    sign of the first, and does not know every compression.
    """
    pydicom = library("pydicom", files[0])
    slices = []
    for file in files:
        _check_decoder(file)
        slope, intercept = headers[file].scale
        slices.append(pydicom.dcmread(file).pixel_array * slope + intercept)
    return np.asarray(np.stack(slices, -1).swapaxes(0, 1), dtype)


def _check_decoder(file: Path) -> None:
    """Raises DataError if the pixels of a file are compressed and no library is installed that decodes them."""
    pydicom, pixels = library("pydicom", file), library("pydicom.pixels", file)
    syntax = pydicom.uid.UID(pydicom.filereader.read_file_meta_info(file).TransferSyntaxUID)
    if not syntax.is_compressed:
        return
    try:
        decoder = pixels.get_decoder(syntax)
        available, missing = decoder.is_available, few(decoder.missing_dependencies)
    except NotImplementedError:
        available, missing = False, "pydicom has none"
    if not available:
        raise DataError(
            f"'{file}' must have pixels that can be decoded, the decoder of {syntax.name} is not installed "
            f"({missing}): install it, or save the files without compression"
        )


def _step(
    path: Path, heights: NDArray[np.float64], positions: NDArray[np.float64], of_one: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(3,) from one slice to the next in millimeters; `of_one` if there is only one."""
    if len(heights) == 1:
        return of_one
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


def _frames(file: Path) -> StoredImage:
    """A volume of which every slice is a frame, as enhanced CT, MR and PET have it."""
    stored, grid = _multiframe(file, "imread", sparse=False)
    if grid is None:
        raise DataError(
            f"'{file}' must hold one frame at each of equally distant positions, it does not: save one volume, for "
            "example as .nii.gz"
        )

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        _check_decoder(file)
        values = stored.get_volume(dtype=np.float64, apply_real_world_transform=False, apply_presentation_lut=False)
        return np.asarray(values.array.swapaxes(0, 2), dtype)

    color = int(stored.SamplesPerPixel)
    shape = tuple(grid.spatial_shape)[::-1]  # columns, rows and frames, as of a series
    return StoredImage(
        path=file,
        shape=(*shape, color) if color > 1 else shape,
        affine=RAS_OF_LPS @ np.asarray(grid.affine)[:, [2, 1, 0, 3]],
        integer=False,
        voxels=voxels,
        vector=color > 1,
        color=color > 1,
        series=str(stored.SeriesInstanceUID),
        frame=str(stored.get("FrameOfReferenceUID") or ""),
    )


def open_segments(file: Path, numbers: Sequence[int]) -> StoredImage:
    """Segments of a DICOM-SEG as one mask, 1 in each. Raises DataError if the file has no grid."""
    return _segmentation(file, numbers)


def _segmentation(file: Path, numbers: Sequence[int] | None = None) -> StoredImage:
    """The segments of a DICOM-SEG, each with its number, or the chosen ones, which may overlap, all with 1.

    Frames that have no segment may be missing.
    """
    stored, grid = _multiframe(file, "seg.segread", sparse=True)
    if grid is None:
        raise no_volume(file, (int(stored.Columns), int(stored.Rows)))
    chosen = numbers is not None

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        try:
            values = stored.get_volume(segment_numbers=numbers, combine_segments=True, skip_overlap_checks=chosen).array
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"'{file}' must give every voxel at most one segment, it does not ({error}): read overlapping segments "
                "by name, with data.organs, and save probabilities as labels"
            ) from error
        return np.asarray((values > 0).astype(np.uint8) if chosen else values, dtype)

    affine = RAS_OF_LPS @ np.asarray(grid.affine)
    return StoredImage(file, tuple(grid.spatial_shape), affine, integer=True, voxels=voxels, partial=True)


def _multiframe(file: Path, reader: str, *, sparse: bool) -> tuple[Any, Any]:
    """A file as a function of highdicom reads it, and its grid; None if it has none.

    Args:
        file: to read.
        reader: the function.
        sparse: whether the frames may leave positions out and several may have the same one.
    """
    highdicom = library("highdicom", file)
    with readable(file):
        stored = attrgetter(reader)(highdicom)(file)
        grid = stored.get_volume_geometry(allow_missing_positions=sparse, allow_duplicate_positions=sparse)
    return stored, grid


def _no_voxels(path: Path, modalities: Collection[str]) -> DataError:
    if CONTOURS in modalities:
        return DataError(
            f"'{path}' must hold an image, an RTSTRUCT holds contours: give it as a mask, with the folder of its "
            "series as the image"
        )
    found = ", ".join(sorted(modality or "no modality" for modality in modalities))
    return DataError(f"'{path}' must hold voxels, it holds {found}: name the folder of an image series")


def _described(header: Header, files: Sequence[Path]) -> str:
    return f"'{header.description}' ({header.series}, {len(files)} files)"
