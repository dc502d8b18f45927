"""Segmentation metrics of a test set. All of them are always computed, so that none can be selected afterwards.

Conventions for empty masks: Dice has epsilon 1e-5, as in the authors' code of STAR, so two empty masks score 1, and an
empty mask against a nonempty one scores about 0. HD95 of two empty masks is 0; of an empty and a nonempty mask it is
the diagonal of the volume, the largest possible distance, as in the BraTS challenge. The mean of no values is None.

Of several classes, each has all metrics, as if it were the only one. The metrics of all together are, slice by slice
and case by case, the mean over the classes that occur in the truth there, and over all classes where none does
(`mean_of_classes`).

All metrics are computed on the grid of `protocol.grid`, without padding, where the label is known. Slices without a
known label do not count, and a case with such slices has no surface whose distance could be measured: its HD95 and NSD
are None. Within a slice, the edge of the known area cuts both surfaces alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from albench.masks import UNKNOWN, Mask
from albench.runs.records import Metrics

_EPSILON = 1e-5
_VOLUME = 3  # dimensions


@dataclass(frozen=True)
class MaskScores:
    """Metrics of one case, of one class or of all together, and the counts that its means are taken over.

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
    dice_slice: float | None
    dice_foreground: float | None
    dice_volume: float
    hd95: float | None
    nsd: float | None
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
            empty_slice_share=self.empty_slices / self.slices if self.slices else None,
        )


@dataclass(frozen=True)
class CaseScores:
    """Metrics of one case.

    Attributes:
        all: of all classes together.
        classes: of each class.
    """

    all: MaskScores
    classes: tuple[MaskScores, ...]


def mean_of_classes(values: ArrayLike, occurs: ArrayLike) -> NDArray[np.float64]:
    """The mean over the classes that occur in the truth, and over all classes where none does.

    Args:
        values: (K, ...) of each class.
        occurs: (K, ...) whether it has foreground in the truth.
    """
    counted = np.asarray(occurs, dtype=np.bool_)
    counted = counted | ~counted.any(0)
    return np.where(counted, values, 0).sum(0) / counted.sum(0)


def dice(prediction: Mask, truth: Mask) -> float:
    """`(2 |P and T| + e) / (|P| + |T| + e)` of two binary masks of the same shape."""
    overlap = float(np.logical_and(prediction, truth).sum())
    return dice_of_sums(overlap, float(prediction.sum()), float(truth.sum()))


def dice_of_sums(overlap: float, predicted: float, true: float) -> float:
    """The same from the pixels of both masks, of the prediction and of the truth."""
    return (2 * overlap + _EPSILON) / (predicted + true + _EPSILON)


class SurfaceScores(NamedTuple):
    """How far the surfaces of two masks are from each other.

    Attributes:
        hd95: 95th percentile of the Hausdorff distance in millimeters.
        nsd: normalized surface Dice, the share of both surfaces that is at most a tolerance from the other one (Nikolov
            et al., J Med Internet Res 23, 2021).
    """

    hd95: float
    nsd: float


def surface_scores(
    prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float, whole: Sequence[int] | None = None
) -> SurfaceScores:
    """Compare the surfaces of two (d, h, w) masks by MONAI's distances, as its HD95 and its surface Dice do.

    Of two empty masks, HD95 is 0 and NSD is 1; of an empty and a nonempty one, the diagonal of the volume and 0. The
    surface of a single slice is its contour, and its diagonal that of the slice.

    Args:
        spacing: millimeters along z, y, x.
        tolerance: millimeters.
        whole: shape of the volume that the masks were cut from, which has the diagonal; None if it is theirs.
    """
    from monai.metrics.utils import get_mask_edges, get_surface_distance  # importing MONAI takes seconds

    if len(truth) == 1 and truth.ndim == _VOLUME:  # of a single slice, every pixel would lie on the surface
        return surface_scores(prediction[0], truth[0], spacing[1:], tolerance, whole and whole[1:])
    if not prediction.any() and not truth.any():
        return SurfaceScores(0.0, 1.0)
    if not prediction.any() or not truth.any():
        return SurfaceScores(float(np.linalg.norm(np.array(whole or truth.shape) * np.array(spacing))), 0.0)
    edges = get_mask_edges(*torch.from_numpy(np.stack([prediction, truth])))
    distances = [
        torch.as_tensor(get_surface_distance(one, other, spacing=list(spacing))) for one, other in (edges, edges[::-1])
    ]
    farthest = torch.stack([part.quantile(0.95) for part in distances]).max()
    near = torch.stack([(part <= tolerance).sum() for part in distances]).sum()
    return SurfaceScores(float(farthest), float(near / sum(map(len, distances))))


def score_case(
    prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float, classes: int = 1
) -> CaseScores:
    """All metrics of one case from its (d, h, w) label maps; see `surface_scores` for spacing and tolerance."""
    whole, counted = truth.shape, (truth != UNKNOWN).any((1, 2))
    prediction, truth = _without_margins(prediction, truth)
    dices, predicted, present, volumes = [], [], [], []
    for pair in _by_class(prediction, truth, classes):  # one at a time, because each is as large as the volume
        dices.append([dice(p, t) for p, t in zip(*pair, strict=True)])
        predicted.append(pair[0].any((1, 2)))
        present.append(pair[1].any((1, 2)))
        surfaces = surface_scores(*pair, spacing, tolerance, whole) if counted.all() else (np.nan, np.nan)
        volumes.append((dice(*pair), *surfaces))
    slices, found, occurs = (np.array(values)[:, counted] for values in (dices, predicted, present))
    together = mean_of_classes(volumes, np.repeat(occurs.any(1), 3).reshape(-1, 3))
    return CaseScores(
        _scores(mean_of_classes(slices, occurs), np.any(occurs, 0), np.any(found, 0), together),
        tuple(map(_scores, slices, occurs, found, np.array(volumes))),
    )


def slice_dice(prediction: Mask, truth: Mask, classes: int = 1) -> float:
    """Dice of an (h, w) label map, of several classes the mean over those that occur in the truth."""
    pairs = list(_by_class(prediction, truth, classes))
    return float(mean_of_classes([dice(*pair) for pair in pairs], [pair[1].any() for pair in pairs]))


def summarize(cases: Sequence[MaskScores]) -> Metrics:
    """Metrics of a set: slice metrics are means over its slices, volume metrics over its cases."""
    slices = [s.slices for s in cases]
    empty = [s.empty_slices for s in cases]
    foreground = [s.slices - s.empty_slices for s in cases]
    return Metrics(
        dice_slice=_weighted([s.dice_slice for s in cases], slices),
        dice_foreground=_weighted([s.dice_foreground for s in cases], foreground),
        dice_volume=_mean(np.array([s.dice_volume for s in cases])),
        hd95=_mean(np.array([s.hd95 for s in cases if s.hd95 is not None])),
        nsd=_mean(np.array([s.nsd for s in cases if s.nsd is not None])),
        empty_slice_fpr=_weighted([s.empty_slice_fpr for s in cases], empty),
        empty_slice_share=sum(empty) / sum(slices) if sum(slices) else None,
    )


def _without_margins(prediction: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Two (d, h, w) label maps without the rows and columns in which all pixels of both are background."""
    occupied = np.bitwise_or.reduce(prediction) | np.bitwise_or.reduce(truth)
    box = (slice(None), *(_span(occupied.any(axis)) for axis in (1, 0)))
    return prediction[box], truth[box]


def _span(occupied: NDArray[np.bool_]) -> slice:
    """From the first to the last true element; the first one if none is true."""
    found = np.flatnonzero(occupied)
    return slice(found[0], found[-1] + 1) if len(found) else slice(1)


def _by_class(prediction: Mask, truth: Mask, classes: int) -> Iterator[tuple[Mask, Mask]]:
    """Prediction and truth of every class as masks of 0 and 1, nothing predicted where the label is unknown."""
    known = truth != UNKNOWN
    for label in range(1, classes + 1):
        yield ((prediction == label) & known).astype(np.uint8), (truth == label).astype(np.uint8)


def _scores(
    dices: NDArray[np.float64],
    present: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    volume: NDArray[np.float64],
) -> MaskScores:
    """Metrics from the slices that count, (n,) each, and from Dice, HD95 and NSD of the volume."""
    return MaskScores(
        slices=len(dices),
        empty_slices=int((~present).sum()),
        dice_slice=_mean(dices),
        dice_foreground=_mean(dices[present]),
        dice_volume=float(volume[0]),
        hd95=None if np.isnan(volume[1]) else float(volume[1]),
        nsd=None if np.isnan(volume[2]) else float(volume[2]),
        empty_slice_fpr=_mean(predicted[~present]),
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _weighted(means: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """The mean over all elements, from the means and sizes of groups."""
    if sum(counts) == 0:
        return None
    return sum(mean * count for mean, count in zip(means, counts, strict=True) if mean is not None) / sum(counts)
