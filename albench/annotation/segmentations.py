"""Segmentations of whole volumes on the grids of their files, with maps of uncertainty and a list by uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from albench.annotation.volume_files import image_path, write_once, write_volume
from albench.data import FileGrid
from albench.errors import DataError
from albench.masks import UNKNOWN, Mask
from albench.spreadsheet import csv_text

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = (
    *("order", "volume", "uncertainty", "foreground_voxels", "foreground_ml", "dimension", "index_3d_slicer"),
    *("index_itk_snap", "segmentation", "uncertainty_map", "image"),
)
_IN_QUESTION = 0.5  # uncertainty from which a voxel that is not segmented counts too
_PER_ML = 1000.0  # cubic millimeters


@dataclass(frozen=True)
class CaseCertainty:
    """How certain the segmentation of a volume is.

    Attributes:
        case: its name.
        grid: its voxels.
        uncertainty: mean of the map over the voxels in question, which are those that are segmented and those whose
            uncertainty is at least a half; None if there are none, so that nothing was found with any certainty.
        voxels: that are segmented.
        position: of the slice with the largest sum of uncertainty.
        segmentation: file of the label map.
        map: file of the uncertainty.
    """

    case: str
    grid: FileGrid
    uncertainty: float | None
    voxels: int
    position: int
    segmentation: Path
    map: Path


def write_segmentation(
    folder: Path, case: str, grid: FileGrid, mask: Mask, uncertainty: NDArray[np.floating]
) -> CaseCertainty:
    """Write the label map of a volume as `segmentations/CASE.nii.gz` and its uncertainty as `uncertainty/CASE.nii.gz`.

    Both have the voxels of the image; labels are bytes without sign, uncertainty is float32.

    Args:
        mask: (d, h, w) label map on the grid of the file, 0 to K.
        uncertainty: (d, h, w), 0 to 1, such as `normalized_entropy`.

    Raises:
        DataError: shapes are not those of the image, a label is unknown, or uncertainty is not from 0 to 1.
        StoreError: a file with other content is there, or it cannot be written.
    """
    if (mask == UNKNOWN).any():
        raise DataError(
            f"a segmentation must have a label for every voxel, that of '{case}' has {UNKNOWN}: predict all"
        )
    if mask.shape != uncertainty.shape:
        raise DataError(
            f"uncertainty must have the shape of its segmentation, got {uncertainty.shape} and {mask.shape} for "
            f"'{case}': bring both to the grid of the file"
        )
    low, high = float(uncertainty.min()), float(uncertainty.max())
    if not 0 <= low <= high <= 1:
        raise DataError(f"uncertainty must be from 0 to 1, that of '{case}' is from {low:g} to {high:g}: normalize it")
    segmentation, of_map = (folder / name / f"{case}.nii.gz" for name in ("segmentations", "uncertainty"))
    write_volume(segmentation, mask.astype(np.uint8), grid)
    write_volume(of_map, uncertainty.astype(np.float32), grid)
    in_question = (mask > 0) | (uncertainty >= _IN_QUESTION)
    return CaseCertainty(
        case=case,
        grid=grid,
        uncertainty=float(uncertainty[in_question].mean(dtype=np.float64)) if in_question.any() else None,
        voxels=int(np.count_nonzero(mask)),
        position=int(uncertainty.sum((1, 2), dtype=np.float64).argmax()),
        segmentation=segmentation,
        map=of_map,
    )


def least_certain_csv(cases: Sequence[CaseCertainty], folder: Path) -> str:
    """Cases as CSV, those in which nothing was found first, then from the least to the most certain.

    A row names the slice to look at first, as `albench.annotation.worklist` counts.

    Args:
        folder: files are named relative to it.
    """
    rows: list[Sequence[object]] = [COLUMNS]
    found = sorted(cases, key=lambda one: (one.voxels > 0, -(one.uncertainty or 0.0), one.case))
    for order, one in enumerate(found, 1):
        dimension, index = one.grid.index(one.position)
        milliliters = one.voxels * abs(np.linalg.det(one.grid.affine[:3, :3])) / _PER_ML
        rows.append(
            (
                *(order, one.case, "" if one.uncertainty is None else f"{one.uncertainty:.4f}", one.voxels),
                *(f"{milliliters:.3f}", "ijk"[dimension], index, index + 1),
                *(str(path.relative_to(folder)) for path in (one.segmentation, one.map)),
                str(image_path(one.grid)),
            )
        )
    return csv_text(rows)


def write_least_certain(folder: Path, cases: Sequence[CaseCertainty]) -> Path:
    """Write least-certain.csv and return its path. Raises StoreError: another one is there."""
    path = folder / "least-certain.csv"
    write_once(path, least_certain_csv(cases, folder).encode())
    return path


def normalized_entropy(probs: Tensor) -> NDArray[np.float32]:
    """(..., h, w) entropy over the background and the K classes, divided by its highest value, ln(K + 1).

    Args:
        probs: (..., k, h, w) in one of the forms of `albench.probabilities`.
    """
    from albench.acquisition import entropy
    from albench.probabilities import classes_of

    made = entropy(probs.float()) / math.log(classes_of(probs) + 1)
    values: NDArray[np.float32] = made.clamp(0, 1).cpu().numpy()
    return values
