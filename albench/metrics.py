"""Segmentation metrics of a test set: all of them, every time, so that none can be chosen afterwards.

Empty cases are decided here once. Dice has epsilon 1e-5 as in the code of STAR: two empty masks score 1, one empty
mask scores about 0. HD95 of two empty masks is 0; of one empty mask it is the volume's diagonal, the largest distance
there is, as in the BraTS challenge. A mean over nothing is None. All metrics are taken on the working grid, inside the
valid area, from probabilities of at least 0.5.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from numpy.typing import NDArray

from albench.masks import Mask

_EPSILON = 1e-5


@dataclass(frozen=True)
class CaseScores:
    """One case's metrics, and the counts behind its means.

    Attributes:
        slices: number of slices.
        blank: slices without foreground in the truth.
        dice_slice: mean over all slices.
        dice_foreground: mean over the slices with foreground in the truth.
        dice_volume: Dice of the 3D masks.
        hd95: 95th percentile of the Hausdorff distance between the 3D surfaces, millimeters.
        empty_slice_fpr: share of the blank slices in which something was predicted.
    """

    slices: int
    blank: int
    dice_slice: float
    dice_foreground: float | None
    dice_volume: float
    hd95: float
    empty_slice_fpr: float | None

    def metrics(self) -> dict[str, float | None]:
        """The metrics without the counts."""
        return {key: value for key, value in asdict(self).items() if key not in ("slices", "blank")}


def dice(prediction: Mask, truth: Mask) -> float:
    """`(2 |P and T| + e) / (|P| + |T| + e)` of two binary masks of any one shape."""
    overlap = float(np.logical_and(prediction, truth).sum())
    return (2 * overlap + _EPSILON) / (float(prediction.sum()) + float(truth.sum()) + _EPSILON)


def hd95(prediction: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95th percentile Hausdorff distance in millimeters of two (d, h, w) masks, by MONAI.

    Args:
        spacing: millimeters along z, y, x.
    """
    if not prediction.any() and not truth.any():
        return 0.0
    if not prediction.any() or not truth.any():
        return float(np.linalg.norm(np.array(truth.shape) * np.array(spacing)))
    pair = torch.from_numpy(np.stack([prediction, truth]))[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of a call of its own
        distance = compute_hausdorff_distance(
            pair[0], pair[1], include_background=True, percentile=95, spacing=list(spacing)
        )
    return float(distance)


def score_case(prediction: Mask, truth: Mask, spacing: Sequence[float]) -> CaseScores:
    """All metrics of one case from its (d, h, w) masks."""
    slice_dice = np.array([dice(p, t) for p, t in zip(prediction, truth, strict=True)])
    blank = np.logical_not(truth.any((1, 2)))
    return CaseScores(
        slices=len(truth),
        blank=int(blank.sum()),
        dice_slice=float(slice_dice.mean()),
        dice_foreground=_mean(slice_dice[~blank]),
        dice_volume=dice(prediction, truth),
        hd95=hd95(prediction, truth, spacing),
        empty_slice_fpr=_mean(np.asarray(prediction.any((1, 2)))[blank]),
    )


def summarize(cases: Sequence[CaseScores]) -> dict[str, float | None]:
    """Metrics of a set: slice metrics are means over its slices, volume metrics over its cases.

    `empty_slice_share`, the share of slices without foreground, is the `dice_slice` of a network that predicts nothing.
    """
    slices = [s.slices for s in cases]
    blank = [s.blank for s in cases]
    foreground = [s.slices - s.blank for s in cases]
    return {
        "dice_slice": _weighted([s.dice_slice for s in cases], slices),
        "dice_foreground": _weighted([s.dice_foreground for s in cases], foreground),
        "dice_volume": _mean(np.array([s.dice_volume for s in cases])),
        "hd95": _mean(np.array([s.hd95 for s in cases])),
        "empty_slice_fpr": _weighted([s.empty_slice_fpr for s in cases], blank),
        "empty_slice_share": sum(blank) / sum(slices),
    }


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _weighted(means: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """The mean over all elements, from means of groups and the groups' sizes."""
    if sum(counts) == 0:
        return None
    return sum(mean * count for mean, count in zip(means, counts, strict=True) if mean is not None) / sum(counts)
