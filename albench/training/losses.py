"""Losses on logits, as functions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def focal(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    alpha: float = 0.6,
    gamma: float = 2.0,
    alpha_mode: Literal["scalar", "balanced"] = "scalar",
) -> Tensor:
    """Focal loss, averaged over the valid pixels of the batch.

    `FL = a (1 - p_t)^g BCE` with `p_t = exp(-BCE)`, Lin et al., ICCV 2017, Eq. 5. With `scalar`, all pixels
    have the weight alpha, as in the authors' code of STAR. With `balanced`, foreground has the weight alpha and
    background 1 - alpha, as in Lin et al.

    Args:
        logits: (b, 1, h, w).
        target: (b, 1, h, w) in [0, 1].
        valid: (b, 1, h, w), 1 on image pixels and 0 on padding.
    """
    logits = logits.float()
    bce = binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight: Tensor | float = alpha
    if alpha_mode == "balanced":
        weight = alpha * target + (1 - alpha) * (1 - target)
    wrong = (1 - torch.exp(-bce)).clamp_min(1e-12)  # with gamma < 1, the gradient at 0 is infinite
    return (weight * wrong**gamma * bce * valid).sum() / valid.sum().clamp_min(1)


def soft_dice(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Dice loss of the batch as a whole, `1 - 2 sum(p y) / (sum(p) + sum(y))` over its valid pixels.

    Milletari, Navab and Ahmadi, 3DV 2016, without squares in the denominator. Arguments are those of `focal`.
    """
    probs = torch.sigmoid(logits.float()) * valid
    truth = target * valid
    return 1 - 2 * (probs * truth).sum() / (probs.sum() + truth.sum()).clamp_min(1e-5)


def ramp_up(epoch: int, length: int) -> float:
    """Weight of an unsupervised loss, `exp(-5 (1 - min(e, E) / E)^2)`, Laine and Aila, ICLR 2017.

    It grows from e^-5 at epoch e = 0 to 1 at epoch E = `length`, and stays 1.
    """
    return math.exp(-5 * (1 - min(epoch, length) / length) ** 2)
