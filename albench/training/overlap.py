"""Volume Dice from batches of slices: sums of every slice on the device, read together at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.metrics import dice_of_sums
from albench.training.batches import Batch


def overlap(logits: Tensor, batch: Batch) -> Tensor:
    """(3, b) pixels of intersection, prediction and truth of every slice, where the probability is at least 0.5.

    Args:
        logits: (b, 1, h, w).
        batch: the slices with their truth.
    """
    predicted = (torch.sigmoid(logits.float()) >= 0.5) * batch.valid
    truth = batch.masks * batch.valid
    return torch.stack([values.flatten(1).sum(1) for values in (predicted * truth, predicted, truth)])


def volume_dice(overlaps: Sequence[Tensor], case: NDArray[np.int64]) -> float:
    """The mean over cases of the Dice of their volumes.

    Args:
        overlaps: of batches, with n slices in all.
        case: (n,) the case of every slice.
    """
    sums = torch.cat(list(overlaps), 1).double().cpu().numpy()
    each = [dice_of_sums(*(float(row[case == index].sum()) for row in sums)) for index in np.unique(case)]
    return float(np.mean(each))
