"""Losses on logits, as functions: of one class (b, 1, h, w), of K classes (b, K + 1, h, w), the background first."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from albench.probabilities import activated, by_class


def focal(
    logits: Tensor,
    target: Tensor,
    known: Tensor,
    *,
    alpha: float = 0.6,
    gamma: float = 2.0,
    alpha_mode: Literal["scalar", "balanced"] = "scalar",
) -> Tensor:
    """Focal loss, averaged over the known pixels of the batch.

    `FL = a (1 - p_t)^g CE` with the cross-entropy `CE` and `p_t = exp(-CE)`, Lin et al., ICCV 2017, Eq. 5. With
    `scalar`, all pixels have the weight alpha, as in the authors' code of STAR. With `balanced`, foreground has the
    weight alpha and background 1 - alpha, as in Lin et al.

    Args:
        logits: (b, 1, h, w) or (b, K + 1, h, w).
        target: (b, 1, h, w) label maps of 0 to K.
        known: (b, 1, h, w), 1 on image pixels whose label is known and 0 elsewhere.
    """
    loss = _cross_entropy(logits.float(), target)
    weight: Tensor | float = alpha
    if alpha_mode == "balanced":
        foreground = target.clamp_max(1)
        weight = alpha * foreground + (1 - alpha) * (1 - foreground)
    wrong = (1 - torch.exp(-loss)).clamp_min(1e-12)  # with gamma < 1, the gradient at 0 is infinite
    return (weight * wrong**gamma * loss * known).sum() / known.sum().clamp_min(1)


def soft_dice(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Dice loss of the batch as a whole, `1 - 2 sum(p y) / (sum(p) + sum(y))` over its known pixels, mean over classes.

    Milletari, Navab and Ahmadi, 3DV 2016, without squares in the denominator. Arguments are those of `focal`.
    """
    losses = []
    for label, part in enumerate(by_class(activated(logits))[1:], 1):
        probs, truth = part[:, None] * known, (target == label) * known
        losses.append(1 - 2 * (probs * truth).sum() / (probs.sum() + truth.sum()).clamp_min(1e-5))
    return torch.stack(losses).mean()


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(b, 1, h, w) cross-entropy of every pixel."""
    if logits.shape[1] == 1:
        return binary_cross_entropy_with_logits(logits, target, reduction="none")
    return cross_entropy(logits, target[:, 0].long(), reduction="none")[:, None]


def ramp_up(epoch: int, length: int) -> float:
    """Weight of an unsupervised loss, `exp(-5 (1 - min(e, E) / E)^2)`, Laine and Aila, ICLR 2017.

    It grows from e^-5 at epoch e = 0 to 1 at epoch E = `length`, and stays 1.
    """
    return math.exp(-5 * (1 - min(epoch, length) / length) ** 2)
