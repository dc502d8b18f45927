"""Segmentation metrics of a test set. All of them are always computed, so that none can be selected afterwards.

Conventions for empty masks: Dice has epsilon 1e-5, as in the authors' code of STAR, so two empty masks score 1, and an
empty mask against a nonempty one scores about 0. HD95 of two empty masks is 0; of an empty and a nonempty mask it is
the diagonal of the volume, the largest possible distance, as in the BraTS challenge. The mean of no values is None.

All metrics are computed on the working grid, inside the valid area, from probabilities of at least 0.5.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from albench.masks import Mask
from albench.runs.records import Metrics

_EPSILON = 1e-5


@dataclass(frozen=True)
class CaseScores:
    """Metrics of one case, and the counts that its means are taken over.

    Attributes:
        slices: number of slices.
        empty_slices: number of slices without foreground in the truth.
        dice_slice: mean over all slices.
        dice_foreground: mean over the slices with foreground in the truth.
        dice_volume: Dice of the 3D masks.
        hd95: 95th percentile of the Hausdorff distance between the 3D surfaces, in millimeters.
        nsd: surface Dice of the 3D surfaces.
        empty_slice_fpr: share of the empty slices with predicted foreground.
    """

    slices: int
    empty_slices: int
    dice_slice: float
    dice_foreground: float | None
    dice_volume: float
    hd95: float
    nsd: float
    empty_slice_fpr: float | None

    def metrics(self) -> Metrics:
        """The metrics without the counts."""
        return Metrics(
            dice_slice=self.dice_slice,
            dice_foreground=self.dice_foreground,
            dice_volume=self.dice_volume,
            hd95=self.hd95,
            nsd=self.nsd,
            empty_slice_fpr=self.empty_slice_fpr,
            empty_slice_share=self.empty_slices / self.slices,
        )


def dice(prediction: Mask, truth: Mask) -> float:
    """`(2 |P and T| + e) / (|P| + |T| + e)` of two binary masks of the same shape."""
    overlap = float(np.logical_and(prediction, truth).sum())
    return dice_of_sums(overlap, float(prediction.sum()), float(truth.sum()))


def dice_of_sums(overlap: float, predicted: float, true: float) -> float:
    """The same from the pixels of both masks, of the prediction and of the truth."""
    return (2 * overlap + _EPSILON) / (predicted + true + _EPSILON)


def hd95(prediction: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95th percentile of the Hausdorff distance in millimeters of two (d, h, w) masks, by MONAI.

    Args:
        spacing: millimeters along z, y, x.
    """
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # importing MONAI takes seconds

    if not prediction.any() and not truth.any():
        return 0.0
    if not prediction.any() or not truth.any():
        return float(np.linalg.norm(np.array(truth.shape) * np.array(spacing)))
    pair = torch.from_numpy(np.stack([prediction, truth]))[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a deprecated call within MONAI 1.6
        distance = compute_hausdorff_distance(
            pair[0], pair[1], include_background=True, percentile=95, spacing=list(spacing)
        )
    return float(distance)


def surface_dice(prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float) -> float:
    """Normalized surface Dice (NSD) of two (d, h, w) masks, by MONAI: the share of both surfaces that is at most
    `tolerance` millimeters from the other one (Nikolov et al., J Med Internet Res 23, 2021).

    1 for two empty masks, 0 if one of them is empty.

    Args:
        spacing: millimeters along z, y, x.
        tolerance: millimeters.
    """
    from monai.metrics.surface_dice import compute_surface_dice  # importing MONAI takes seconds

    if not prediction.any() or not truth.any():
        return float(prediction.any() == truth.any())
    pair = torch.from_numpy(np.stack([prediction, truth]))[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found = compute_surface_dice(
            pair[0], pair[1], class_thresholds=[tolerance], include_background=True, spacing=list(spacing)
        )
    return float(found)


def score_case(prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float) -> CaseScores:
    """All metrics of one case from its (d, h, w) masks; see `surface_dice` for spacing and tolerance."""
    slice_dice = np.array([dice(p, t) for p, t in zip(prediction, truth, strict=True)])
    empty = np.logical_not(truth.any((1, 2)))
    return CaseScores(
        slices=len(truth),
        empty_slices=int(empty.sum()),
        dice_slice=float(slice_dice.mean()),
        dice_foreground=_mean(slice_dice[~empty]),
        dice_volume=dice(prediction, truth),
        hd95=hd95(prediction, truth, spacing),
        nsd=surface_dice(prediction, truth, spacing, tolerance),
        empty_slice_fpr=_mean(np.asarray(prediction.any((1, 2)))[empty]),
    )


def summarize(cases: Sequence[CaseScores]) -> Metrics:
    """Metrics of a set: slice metrics are means over its slices, volume metrics over its cases."""
    slices = [s.slices for s in cases]
    empty = [s.empty_slices for s in cases]
    foreground = [s.slices - s.empty_slices for s in cases]
    return Metrics(
        dice_slice=_weighted([s.dice_slice for s in cases], slices),
        dice_foreground=_weighted([s.dice_foreground for s in cases], foreground),
        dice_volume=_mean(np.array([s.dice_volume for s in cases])),
        hd95=_mean(np.array([s.hd95 for s in cases])),
        nsd=_mean(np.array([s.nsd for s in cases])),
        empty_slice_fpr=_weighted([s.empty_slice_fpr for s in cases], empty),
        empty_slice_share=sum(empty) / sum(slices),
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _weighted(means: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """The mean over all elements, from the means and sizes of groups."""
    if sum(counts) == 0:
        return None
    return sum(mean * count for mean, count in zip(means, counts, strict=True) if mean is not None) / sum(counts)
