"""How confident predictions are: their Dice at every threshold, not only at 0.5.

A network that is trained with the focal loss may separate foreground from background well with probabilities that
hardly reach 0.5. At 0.5 it then seems bad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.metrics import dice_of_sums
from albench.runs.records import Confidence

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class ThresholdCounts:
    """Pixels of a case by their probability.

    Attributes:
        pixels: (100,) valid pixels whose probability reaches exactly so many of THRESHOLDS.
        foreground: (100,) those of them that are foreground in the truth.
        highest: highest probability.
    """

    pixels: NDArray[np.int64]
    foreground: NDArray[np.int64]
    highest: float

    @classmethod
    def of(cls, probs: Tensor, valid: Tensor, truth: Tensor) -> ThresholdCounts:
        """The counts of some slices, from (b, h, w) probabilities, valid pixels and truth on the same device."""
        thresholds = torch.tensor(THRESHOLDS, dtype=probs.dtype, device=probs.device)
        inside = valid.bool()
        reached = torch.bucketize(probs[inside], thresholds, right=True)
        size = len(THRESHOLDS) + 1
        pixels, foreground = (
            torch.bincount(reached, minlength=size),
            torch.bincount(reached[truth[inside].bool()], minlength=size),
        )
        return cls(pixels.cpu().numpy(), foreground.cpu().numpy(), float((probs * valid).max()))

    def __add__(self, other: ThresholdCounts) -> ThresholdCounts:
        return ThresholdCounts(
            self.pixels + other.pixels, self.foreground + other.foreground, max(self.highest, other.highest)
        )

    def dice(self) -> NDArray[np.float64]:
        """(99,) volume Dice with the foreground at and above each threshold."""
        predicted, overlap = (counts[::-1].cumsum()[::-1][1:] for counts in (self.pixels, self.foreground))
        true = float(self.foreground.sum())
        return np.array([dice_of_sums(float(o), float(p), true) for o, p in zip(overlap, predicted, strict=True)])


def confidence(test: list[ThresholdCounts], val: list[ThresholdCounts]) -> Confidence:
    """What the record says, from the counts of the test cases and of the validation cases, of which none may exist."""
    highest = max(counts.highest for counts in test)
    if not val:
        return Confidence(highest, None, None, None)
    val_dice, test_dice = (np.mean([counts.dice() for counts in cases], axis=0) for cases in (val, test))
    best = np.flatnonzero(val_dice == val_dice.max())
    chosen = int(best[np.abs(THRESHOLDS[best] - 0.5).argmin()])
    return Confidence(highest, float(THRESHOLDS[chosen]), float(val_dice[chosen]), float(test_dice[chosen]))
