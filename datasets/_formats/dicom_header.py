"""Files of DICOM and what their headers say, which pydicom reads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.datasets._formats.extra import library
from albench.datasets._formats.image import unreadable

SEGMENTATION, CONTOURS = "SEG", "RTSTRUCT"  # modalities
NO_DESCRIPTION = "no description"  # of a series
SUFFIXES = (".dcm", ".dicom", ".ima")
_MAGIC_AT, _MAGIC = 128, b"DICM"
_TAGS = (
    *("Modality", "SeriesInstanceUID", "SeriesDescription", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns"),
    *("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "RescaleSlope"),
    *("RescaleIntercept", "FrameOfReferenceUID", "PatientID", "StudyInstanceUID", "StudyDate", "ImageType"),
    *("SOPInstanceUID", "PhotometricInterpretation", "PixelRepresentation", "BitsAllocated"),
)
_BESIDE_IMAGES = frozenset(
    (SEGMENTATION, CONTOURS, "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "REG", "PR", "KO", "SR", "RWV")
)


@dataclass(frozen=True)
class Plane:
    """Where a slice lies, in millimeters to the left, to the back and up.

    Attributes:
        spacing: (2,) between its columns and between its rows.
        directions: (3, 2) along a row and along a column, of unit length.
        position: (3,) of its first pixel.
    """

    spacing: NDArray[np.float64]
    directions: NDArray[np.float64]
    position: NDArray[np.float64]


@dataclass(frozen=True)
class Header:
    """What is read of the header of a file.

    Attributes:
        series: its UID, as is `frame` that of the frame of reference; empty if the file does not say it.
        shape: columns, rows and, with several values per pixel, their number.
        plane: None if the file does not say it.
        scale: slope and intercept of the stored values.
        stored: the photometric interpretation of the pixels, whether they are signed, and their bits.
        instance: UID of the file, as is `study` that of the study.
        patient: ID; empty if the file does not say it, as is `date`, that of the study.
        localizer: whether the file is a scout, on which other series are planned.
    """

    modality: str
    series: str
    description: str
    frame: str
    frames: int
    shape: tuple[int, ...]
    plane: Plane | None
    thickness: float
    scale: tuple[float, float]
    stored: tuple[str, int, int]
    instance: str
    patient: str
    study: str
    date: str
    localizer: bool

    @property
    def is_image(self) -> bool:
        """Whether the file holds slices of an image, and not what was made of one."""
        return self.modality not in _BESIDE_IMAGES and 0 not in self.shape


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


def all_dicom_files(folder: Path) -> list[Path]:
    """The files of DICOM at any depth of a folder, without hidden ones."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        found += [file for file in files if file.is_file() and is_dicom(file)]
    return found


def series_files(path: Path) -> list[Path]:
    """The files of an image: those of a folder, or of `folder/UID` those at any depth that are of this series."""
    if path.is_dir():
        return dicom_files(path)
    return [file for file in all_dicom_files(path.parent) if header_of(file).series == path.name]


def is_series(path: Path) -> bool:
    """Whether a path is that of a series in a folder, `folder/UID`, and the folder has files of it."""
    named = path.name.replace(".", "").isdigit() and "." in path.name and path.parent.is_dir()
    return named and not path.exists() and bool(series_files(path))


def header_of(file: Path) -> Header:
    """What is read of a file, once as long as it is the same. Raises DataError if it cannot be read."""
    status = file.stat()
    return _header(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1 << 16)
def _header(file: Path, _changed: int, _size: int) -> Header:
    with read_header(file, _TAGS) as read:
        color = int(read.get("SamplesPerPixel") or 1)
        size = int(read.get("Columns") or 0), int(read.get("Rows") or 0)
        return Header(
            modality=str(read.get("Modality", "")),
            series=str(read.get("SeriesInstanceUID", "")),
            description=str(read.get("SeriesDescription") or NO_DESCRIPTION),
            frame=str(read.get("FrameOfReferenceUID") or ""),
            frames=int(read.get("NumberOfFrames") or 1),
            shape=(*size, color) if color > 1 else size,
            plane=_plane(read),
            thickness=float(read.get("SliceThickness") or 1),
            scale=(float(read.get("RescaleSlope") or 1), float(read.get("RescaleIntercept") or 0)),
            stored=(
                str(read.get("PhotometricInterpretation") or ""),
                int(read.get("PixelRepresentation") or 0),
                int(read.get("BitsAllocated") or 0),
            ),
            instance=str(read.get("SOPInstanceUID") or ""),
            patient=str(read.get("PatientID") or "").strip(),
            study=str(read.get("StudyInstanceUID") or ""),
            date=str(read.get("StudyDate") or ""),
            localizer="LOCALIZER" in str(read.get("ImageType") or "").upper(),
        )


@contextmanager
def read_header(file: Path, tags: Sequence[str] | None = None) -> Iterator[Any]:
    """The chosen tags of a file, or all but its pixels. Raises DataError, also for what the block finds in them."""
    pydicom = library("pydicom", file)
    with readable(file):
        yield pydicom.dcmread(file, stop_before_pixels=True, specific_tags=None if tags is None else list(tags))


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn any exception of the block into one sentence, and leave out what pydicom warns of."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # pydicom and highdicom raise many kinds for a file that is damaged
        raise unreadable(file, "DICOM file", error) from error


def _plane(read: Any) -> Plane | None:
    tags = [read.get(name) for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")]
    if None in tags:
        return None
    spacing, directions, position = (np.array(tag, dtype=np.float64) for tag in tags)
    return Plane(spacing.reshape(2)[::-1], directions.reshape(2, 3).T, position.reshape(3))
