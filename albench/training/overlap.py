"""Volume Dice from batches of slices: sums of every slice on the device, read together at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.metrics import dice_of_sums, mean_of_classes
from albench.probabilities import activated, classes_of, predicted
from albench.training.batches import Batch


def overlap(logits: Tensor, batch: Batch) -> Tensor:
    """(3, K, b) pixels of intersection, prediction and truth of every class and slice, of those that are known.

    Args:
        logits: (b, k, h, w).
        batch: the slices with their truth.
    """
    labels, sums = predicted(activated(logits))[:, None], []
    for label in range(1, classes_of(logits) + 1):
        own, truth = ((maps == label) * batch.known for maps in (labels, batch.masks))
        sums.append(torch.stack([values.flatten(1).sum(1) for values in (own * truth, own, truth)]))
    return torch.stack(sums, 1)


def volume_dice(overlaps: Sequence[Tensor], case: NDArray[np.int64]) -> float:
    """The mean over cases of the Dice of their volumes, of several classes that of those that occur.

    Args:
        overlaps: of batches, with n slices in all.
        case: (n,) the case of every slice.
    """
    sums = torch.cat(list(overlaps), 2).double().cpu().numpy()
    each = []
    for index in np.unique(case):
        pixels = sums[:, :, case == index].sum(2)
        each.append(mean_of_classes([dice_of_sums(*map(float, own)) for own in pixels.T], pixels[2] > 0))
    return float(np.mean(each))
