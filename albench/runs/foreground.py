"""Foreground in the test slices that a run keeps: what tells a prediction of everything from a segmentation."""

from __future__ import annotations

import numpy as np

from albench.masks import UNKNOWN, PackedMasks
from albench.runs.array_files import Arrays


def largest_foreground(snapshots: Arrays) -> dict[str, float]:
    """{test case: share of foreground in its largest slice}, of those with foreground; none if labels are unknown.

    Args:
        snapshots: of test slices, see `albench.runs.snapshots`, with the largest slice of every case among them.
    """
    if (snapshots["masks"] == UNKNOWN).any():
        return {}
    largest: dict[str, float] = {}
    kept = zip(snapshots["cases"].tolist(), snapshots["masks"], snapshots["valid"], strict=True)
    for case, mask, (height, width) in kept:
        share = float(np.count_nonzero(mask[:height, :width]) / (height * width))
        largest[case] = max(share, largest.get(case, 0.0))
    return largest


def gain_over_everything(snapshots: Arrays, predictions: PackedMasks) -> float:
    """Mean Dice of predictions minus that of predicting foreground in every pixel; NaN without slices.

    Args:
        snapshots: of test slices.
        predictions: {row in the test set: (h, w) mask} of these slices.
    """
    gains = []
    kept = zip(snapshots["ids"].tolist(), snapshots["masks"], snapshots["valid"], strict=True)
    for row, mask, (height, width) in kept:
        truth, predicted = mask[:height, :width] != 0, predictions[row][:height, :width] != 0
        own = 2 * np.count_nonzero(truth & predicted) / (np.count_nonzero(truth) + np.count_nonzero(predicted))
        gains.append(own - dice_of_everything(float(truth.mean())))
    return float(np.mean(gains)) if gains else float("nan")


def dice_of_everything(share: float) -> float:
    """The Dice of predicting foreground in every pixel where the truth has this share of it."""
    return 2 * share / (1 + share)
