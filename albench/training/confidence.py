"""How confident predictions are: the Dice of their foreground at every threshold, not only at 0.5.

A network that is trained with the focal loss may separate foreground from background well with probabilities that
hardly reach 0.5. At 0.5 it then seems bad. Several classes are one foreground here, whose probability is their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.masks import UNKNOWN
from albench.metrics import dice_of_sums
from albench.probabilities import by_class
from albench.runs.records import Confidence
from albench.training.device import to_device

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class ThresholdCounts:
    """Pixels of a case by their probability.

    Attributes:
        pixels: (100,) known pixels whose probability reaches exactly 0, 1, ..., 99 of THRESHOLDS.
        foreground: (100,) those of them that are foreground in the truth.
        highest: highest probability.
    """

    pixels: NDArray[np.float64]
    foreground: NDArray[np.float64]
    highest: float

    @classmethod
    def collect(cls, table: NDArray[np.float64]) -> ThresholdCounts:
        """The counts of a case from those of its b batches, (b, 201), see `count_thresholds`."""
        pixels, foreground = table[:, :-1].sum(0).reshape(2, -1)
        return cls(pixels, foreground, float(table[:, -1].max()))

    def dice(self) -> NDArray[np.float64]:
        """(99,) volume Dice with the foreground at and above each threshold."""
        predicted, overlap = (counts[::-1].cumsum()[::-1][1:] for counts in (self.pixels, self.foreground))
        true = float(self.foreground.sum())
        return np.array([dice_of_sums(float(o), float(p), true) for o, p in zip(overlap, predicted, strict=True)])


def count_thresholds(probs: Tensor, valid: Tensor, truth: Tensor) -> Tensor:
    """(201,) float64 counts of some slices on their device: pixels, foreground, and the highest probability.

    Args:
        probs: (b, k, h, w) probabilities.
        valid: (b, h, w), 1 on image pixels and 0 on padding.
        truth: (b, h, w) label maps; pixels whose label is unknown do not count.
    """
    foreground = torch.stack(by_class(probs)[1:]).sum(0).clamp_max(1)  # a sum of parts may be off by rounding
    known = (valid > 0) & (truth != UNKNOWN)
    thresholds = to_device(torch.tensor(THRESHOLDS, dtype=probs.dtype), probs.device)
    size = len(THRESHOLDS) + 1
    reached = torch.bucketize(foreground, thresholds, right=True) + size * (truth > 0)
    # `histc` ignores what is below its range; `bincount` would make the CPU wait for the largest value. Most pixels are
    # certain background: they are those that are left, since a GPU would count them one after the other
    counted = torch.where(known & (reached > 0), reached, -1)
    parts = torch.histc(counted.double(), 2 * size, 0, 2 * size).view(2, size)
    parts[0, 0] = known.sum() - parts.sum()
    return torch.cat([parts.sum(0), parts[1], (foreground * known).max().double()[None]])


def confidence(test: Sequence[ThresholdCounts], val: Sequence[ThresholdCounts]) -> Confidence:
    """What the record says, from the counts of the test cases and of the validation cases, of which none may exist."""
    highest = max((counts.highest for counts in test), default=None)
    if not val:
        return Confidence(highest, None, None, None)
    val_dice = np.mean([counts.dice() for counts in val], axis=0)
    best = np.flatnonzero(val_dice == val_dice.max())
    chosen = int(best[np.abs(THRESHOLDS[best] - 0.5).argmin()])
    test_dice = float(np.mean([counts.dice() for counts in test], axis=0)[chosen]) if test else None
    return Confidence(highest, float(THRESHOLDS[chosen]), float(val_dice[chosen]), test_dice)
