"""The parts of a mask in DICOM that have names: segments of a DICOM-SEG, regions (ROI) of a structure set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from albench.datasets._formats.dicom_header import CONTOURS, SEGMENTATION, dicom_files, is_dicom, read_header
from albench.datasets._formats.structures import read_regions
from albench.errors import DataError


@dataclass(frozen=True)
class Parts:
    """What a mask in DICOM holds.

    Attributes:
        modality: SEG or RTSTRUCT.
        file: that holds them, which may lie in a folder of its own.
        names: of every part that has voxels, by its number.
        left_out: names of regions that have no closed contours, or others beside, with the number of others by type.
    """

    modality: str
    file: Path
    names: Mapping[int, str]
    left_out: Mapping[str, Counter[str]] = field(default_factory=dict)

    @property
    def contours(self) -> bool:
        """Whether the parts are contours, which have no values."""
        return self.modality == CONTOURS


def parts_of(path: Path) -> Parts | None:
    """The named parts of a mask; None for other images, and for a file that cannot be read.

    Args:
        path: a file, or a folder that holds only this one.
    """
    files = dicom_files(path) if path.is_dir() else [path] if path.is_file() and is_dicom(path) else []
    if len(files) != 1:
        return None
    try:
        return _parts(files[0])
    except DataError:  # told when its voxels are read
        return None


def _parts(file: Path) -> Parts | None:
    with read_header(file, ("Modality", "SegmentSequence")) as read:
        modality = str(read.get("Modality", ""))
        if modality == SEGMENTATION:
            segments = {
                int(item.SegmentNumber): str(item.get("SegmentLabel") or f"segment {item.SegmentNumber}")
                for item in read.get("SegmentSequence") or ()
            }
            return Parts(modality, file, segments)
    if modality != CONTOURS:
        return None
    regions = read_regions(file)
    drawn = [region for region in regions if region.contours]
    left_out = {region.name: region.others for region in regions if region.others or not region.contours}
    return Parts(modality, file, {number: region.name for number, region in enumerate(drawn, 1)}, left_out)
