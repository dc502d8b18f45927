"""DICOM structure sets (RTSTRUCT): contours in millimeters, drawn on the slices of an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from albench.datasets._formats.dicom_header import read_header, readable
from albench.datasets._formats.image import RAS_OF_LPS, StoredImage
from albench.datasets._formats.polygons import Points, filled
from albench.errors import DataError, few

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_SHOWN = 8  # names in a sentence
_SAME_PLANE = 0.1  # of the distance of slices, by which the points of a plane may vary
_BESIDE = 0.5  # of it, up to which a plane counts as the slice beside it


@dataclass(frozen=True)
class Region:
    """A region of interest (ROI) of a structure set.

    Attributes:
        name: as the program calls it that drew it.
        frame: UID of the frame of reference of its coordinates; empty if it is not said.
        contours: of every closed contour the numbers as the file has them, separated by backslashes: millimeters to
            the left, to the back and up of one corner after the other.
        others: number of contours by type that enclose nothing, such as POINT.
    """

    name: str
    frame: str
    contours: tuple[bytes, ...]
    others: Counter[str]


@dataclass(frozen=True)
class References:
    """What a file says that it was drawn on: UIDs of series and of frames of reference."""

    series: frozenset[str]
    frames: frozenset[str]


def read_regions(file: Path) -> list[Region]:
    """All regions of a structure set. Raises DataError if the file is damaged."""
    with read_header(file, ("StructureSetROISequence", "ROIContourSequence")) as read:
        drawn = {int(item.ReferencedROINumber): item for item in read.get("ROIContourSequence") or ()}
        return [_region(roi, drawn.get(int(roi.ROINumber))) for roi in read.get("StructureSetROISequence") or ()]


def read_references(file: Path) -> References:
    """What a structure set was drawn on. Raises DataError if the file is damaged."""
    with read_header(file, ("ReferencedFrameOfReferenceSequence",)) as read:
        frames = read.get("ReferencedFrameOfReferenceSequence") or ()
        series = {
            str(of.SeriesInstanceUID)
            for frame in frames
            for study in frame.get("RTReferencedStudySequence") or ()
            for of in study.get("RTReferencedSeriesSequence") or ()
        }
        uids = {str(frame.get("FrameOfReferenceUID") or "") for frame in frames} - {""}
        return References(frozenset(series), frozenset(uids))


def open_region(file: Path, name: str, grid: StoredImage, *, same_series: bool) -> StoredImage:
    """A region as a mask of 0 and 1 on the grid of an image; its contours are filled as in `polygons.filled`.

    A plane of contours belongs to the slice that is nearest, at most half the distance of two slices away.

    Args:
        grid: the image.
        same_series: whether the image, if it is DICOM, must be of the series that the contours were drawn on.

    Raises:
        DataError: there is not one region of this name, it has no closed contour, or it is of another series.
    """
    regions = read_regions(file)
    named = [region for region in regions if region.name == name]
    if len(named) != 1:
        listed = few([f"'{region.name}'" for region in regions], _SHOWN) or "none"
        count = f"{len(named)} ROIs" if named else "none"
        raise DataError(
            f"'{file}' must have one ROI '{name}', it has {count} of this name: choose from {listed} with data.organs, "
            "or name others in a list"
        )
    (region,) = named
    if not region.contours:
        raise DataError(
            f"'{file}' must have closed contours of ROI '{name}', it has none: choose others with data.organs"
        )
    if same_series:
        _check_references(file, region, grid)

    with readable(file):  # equal contours, which would cancel out, count once
        contours = [_points(contour) for contour in dict.fromkeys(region.contours)]

    def voxels(dtype: type[np.float32] | None) -> NDArray[np.generic]:
        return np.asarray(_drawn(contours, grid, f"ROI '{name}' of '{file}'"), dtype)

    return StoredImage(file, grid.shape[:3], grid.affine, integer=True, voxels=voxels)


def _region(roi: Any, drawn: Any) -> Region:
    contours: list[bytes] = []
    others: Counter[str] = Counter()
    for contour in (drawn.get("ContourSequence") if drawn else None) or ():
        kind = str(contour.get("ContourGeometricType", ""))
        if kind in CLOSED:
            # as bytes, because contours of more than 64 KiB are often written without the type of their numbers
            item = contour.get_item("ContourData")
            contours += [bytes(item.value)] if item is not None and item.value else []
        else:
            others[kind] += 1
    frame = str(roi.get("ReferencedFrameOfReferenceUID") or "")
    return Region(str(roi.get("ROIName") or ""), frame, tuple(contours), others)


def _check_references(file: Path, region: Region, grid: StoredImage) -> None:
    """An image of DICOM must be what the contours were drawn on, as far as both say it."""
    references = read_references(file)
    remedy = "pair it with the image that it was drawn on, or set data.mask_grid=image if only its references are wrong"
    if grid.series and references.series and grid.series not in references.series:
        raise DataError(
            f"'{file}' must be drawn on the series of its image, '{grid.path}' is {grid.series} and it names "
            f"{few(sorted(references.series))}: {remedy}"
        )
    frames = {region.frame} - {""} or references.frames
    if grid.frame and frames and grid.frame not in frames:
        raise DataError(
            f"ROI '{region.name}' of '{file}' must be in the frame of reference of its image, '{grid.path}' has "
            f"{grid.frame} and it {few(sorted(frames))}: {remedy}"
        )


def _points(contour: bytes) -> Points:
    """(n, 3). Raises ValueError if they are not finite numbers, three for every corner."""
    numbers = np.array(contour.split(b"\\")).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a contour has numbers that are not finite")
    return numbers.reshape(-1, 3)


def _drawn(contours: Sequence[Points], grid: StoredImage, what: str) -> NDArray[np.uint8]:
    """(i, j, k) 1 in the contours, which are in millimeters. Raises DataError if they do not lie on the slices."""
    to_voxels = np.linalg.inv(grid.affine) @ RAS_OF_LPS
    contours = [apply_affine(to_voxels, contour) for contour in contours]
    across = 2 - int(np.argmin(np.max([np.ptp(contour, axis=0) for contour in contours], axis=0)[::-1]))
    millimeters = float(np.linalg.norm(grid.affine[:3, across]))
    where = f"the contours of {what}"
    remedy = f"give the image that they were drawn on in place of '{grid.path}'"
    tilt = max(float(np.ptp(contour[:, across])) for contour in contours)
    if tilt > _SAME_PLANE:
        raise DataError(
            f"{where} must lie in slices of the image, they reach through up to {tilt * millimeters:.3g} mm across "
            f"them: {remedy}"
        )
    count = grid.shape[across]
    outside = [contour for contour in contours if not -_BESIDE <= contour[:, across].mean() <= count - 1 + _BESIDE]
    if outside:
        far = max(max(-height, height - count + 1) for height in (of[:, across].mean() for of in outside))
        raise DataError(
            f"{where} must lie within half a slice of the image, {len(outside)} of {len(contours)} lie up to "
            f"{far * millimeters:.3g} mm beyond its first or last slice: {remedy}"
        )
    mask = np.zeros(grid.shape[:3], np.uint8)
    planes = np.moveaxis(mask, across, 0)
    taken: dict[int, float] = {}
    for height, of in _planes(contours, across):
        number = int(np.clip(np.rint(height), 0, count - 1))
        if number in taken:
            raise DataError(
                f"{where} must lie in one plane for every slice of the image, planes {millimeters * taken[number]:.3g} "
                f"and {millimeters * height:.3g} mm from its first slice have the same one: {remedy}"
            )
        taken[number] = height
        planes[number] = filled([np.delete(contour, across, 1) for contour in of], planes.shape[1:])
    return mask


def _planes(contours: Sequence[Points], across: int) -> Iterator[tuple[float, list[Points]]]:
    """Contours by plane, from the first to the last, with the height of each in slices."""
    plane: list[Points] = []
    for contour in sorted(contours, key=lambda contour: float(contour[:, across].mean())):
        if plane and contour[:, across].mean() - plane[0][:, across].mean() > _SAME_PLANE:
            yield float(plane[0][:, across].mean()), plane
            plane = []
        plane.append(contour)
    if plane:
        yield float(plane[0][:, across].mean()), plane
