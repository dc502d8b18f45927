"""Predictions that are not worth correcting, because the network has hardly learned anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from albench.data import LabeledStack
from albench.masks import UNKNOWN, Mask, foreground
from albench.runs.records import RoundRecord, SliceName

_MARGIN = 0.05  # of volume Dice, by which a network must be better than one that has learned nothing


def why_useless(
    record: RoundRecord, val: LabeledStack | None, predicted: Mapping[SliceName, Mask], index: int
) -> str | None:
    """A sentence if the predictions of a round are hardly better than those of a network that has learned nothing.

    Args:
        record: of the round.
        val: the validation volumes; None without any.
        predicted: the slices that are handed out with predictions.
        index: number of the round in the project.
    """
    advice = "leave --prefill out until the network is better, and draw over what it suggests"
    if not any(foreground(mask).any() for mask in predicted.values()):
        return f"caution: the network of round {index} predicts no foreground in these slices: {advice}"
    dice = None if val is None or record.val is None else record.val.dice_volume
    if val is None or dice is None or dice > (floor := learned_nothing(val)) + _MARGIN:
        return None
    return (
        f"caution: the network of round {index} has hardly learned anything, its volume Dice on validation is "
        f"{dice:.3f} and that of predicting nothing or everything {floor:.3f}: {advice}"
    )


def learned_nothing(val: LabeledStack) -> float:
    """The higher mean volume Dice of two networks: one predicts nothing, the other foreground everywhere.

    The former has 1 in a volume without foreground and 0 in others; the latter 2 f / (1 + f) for a share f of
    foreground. It is left out for several classes, because it would have to choose one of them.
    """
    shares = np.array([_foreground_share(val, case) for case in range(len(val.slices.cases))])
    nothing, everything = np.mean(shares == 0), np.mean(2 * shares / (1 + shares))
    return float(nothing if len(val.slices.classes) > 1 else max(nothing, everything))


def _foreground_share(val: LabeledStack, case: int) -> float:
    """Of the pixels of a volume whose label is known."""
    ids = val.slices.of(case)
    masks = val.masks(ids)
    inside = [mask[:height, :width] for mask, (height, width) in zip(masks, val.slices.valid[ids], strict=True)]
    known = np.concatenate([mask[mask != UNKNOWN] for mask in inside])
    return float(np.mean(known > 0)) if len(known) else 0.0
