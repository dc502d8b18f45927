"""DICOM as it is downloaded or exported: the series of images below a folder, and the masks that reference them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from albench.datasets._formats.dicom_header import (
    CONTOURS,
    SEGMENTATION,
    Header,
    all_dicom_files,
    dicom_files,
    header_of,
    read_header,
)
from albench.datasets._formats.structures import References, read_references
from albench.errors import DataError


@dataclass(frozen=True)
class Series:
    """One series of images.

    Attributes:
        path: that `open_image` reads it from: the only file, the folder if that has no other series, or `folder/UID`.
        header: of its first file.
        slices: number of them.
        files: all, sorted.
    """

    path: Path
    header: Header
    slices: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class MaskObject:
    """A file with a segmentation or a structure set.

    Attributes:
        file: its path.
        header: what it says of itself.
        images: the series that it may be of: those that it references, or else those of its frame of reference.
        referenced: UIDs of the series that it says it is of.
        by_frame: whether only the frame of reference tells it.
    """

    file: Path
    header: Header
    images: tuple[Series, ...]
    referenced: frozenset[str]
    by_frame: bool

    def __str__(self) -> str:
        return f"{self.header.modality} '{self.header.description}'"


@dataclass(frozen=True)
class Archive:
    """What is below a folder.

    Attributes:
        series: of images, in the order of their files.
        masks: in the same order.
        unreadable: a sentence for every file that cannot be read.
    """

    series: tuple[Series, ...]
    masks: tuple[MaskObject, ...]
    unreadable: Mapping[Path, str]


def read_archive(root: Path) -> Archive:
    """All series and masks at any depth. Raises DataError if pydicom is not installed."""
    headers, unreadable = {}, {}
    for file in all_dicom_files(root):
        try:
            headers[file] = header_of(file)
        except DataError as error:
            if isinstance(error.__cause__, ImportError):
                raise
            unreadable[file] = str(error)
    by_series: defaultdict[str, list[Path]] = defaultdict(list)
    for file, header in headers.items():
        if header.is_image:
            by_series[header.series].append(file)
    series = tuple(_series(files, headers) for files in by_series.values())
    masks = []
    for file, header in headers.items():
        if header.modality in (SEGMENTATION, CONTOURS):
            try:
                masks.append(_mask(file, header, series))
            except DataError as error:
                unreadable[file] = str(error)
    return Archive(series, tuple(masks), unreadable)


def _series(files: Sequence[Path], headers: Mapping[Path, Header]) -> Series:
    """A series with the shortest path that nothing else is read from."""
    first = headers[files[0]]
    folder = Path(os.path.commonpath([file.parent for file in files]))
    beside = {file for file in dicom_files(folder) if file in headers and headers[file].is_image}
    path = files[0] if len(files) == 1 else folder if beside == {*files} else folder / first.series
    return Series(path, first, sum(headers[file].frames for file in files), tuple(files))


def _mask(file: Path, header: Header, series: Sequence[Series]) -> MaskObject:
    references = _references(file, header)
    images = [of for of in series if of.header.series in references.series]
    if not images:
        instances = _referenced_instances(file)
        images = [of for of in series if any(header_of(slices).instance in instances for slices in of.files)]
    by_frame = not images
    if by_frame:
        frames = references.frames | ({header.frame} - {""})
        images = [of for of in series if of.header.frame in frames and of.header.patient == header.patient]
    return MaskObject(file, header, tuple(images), references.series, by_frame)


def _references(file: Path, header: Header) -> References:
    if header.modality == CONTOURS:
        return read_references(file)
    with read_header(file, ("ReferencedSeriesSequence",)) as read:
        series = {str(of.get("SeriesInstanceUID") or "") for of in read.get("ReferencedSeriesSequence") or ()}
        return References(frozenset(series - {""}), frozenset())


def _referenced_instances(file: Path) -> frozenset[str]:
    """UIDs of all files that a mask names anywhere in it."""
    with read_header(file) as read:
        return frozenset(str(of.value) for of in read.iterall() if of.keyword == "ReferencedSOPInstanceUID")
