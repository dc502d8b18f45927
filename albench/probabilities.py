"""Probabilities of the classes of pixels, in the form in which networks give them and strategies get them.

Of one class: (..., 1, h, w), the probability of the foreground. Of K > 1 classes: (..., K + 1, h, w), the background
first, which sum to 1. Dropout samples and views come first: (t, b, k, h, w). Functions of this module and of
`albench.acquisition` take both forms.
"""

from __future__ import annotations

import torch
from torch import Tensor

CLASSES = -3
"""The dimension of the classes."""


def outputs_for(classes: int) -> int:
    """Channels of the logits of a network for a number of classes: 1 for one class, otherwise one more than classes."""
    return 1 if classes == 1 else classes + 1


def classes_of(probs: Tensor) -> int:
    """The number of classes of probabilities or logits, the background not counted."""
    return max(1, probs.shape[CLASSES] - 1)


def activated(logits: Tensor) -> Tensor:
    """(..., k, h, w) logits of a network to float32 probabilities: a sigmoid for one class, otherwise a softmax."""
    return torch.sigmoid(logits.float()) if logits.shape[CLASSES] == 1 else logits.float().softmax(CLASSES)


def by_class(probs: Tensor) -> tuple[Tensor, ...]:
    """The probability of the background and of every class, each (..., h, w)."""
    parts = probs.unbind(CLASSES)
    return (1 - parts[0], parts[0]) if len(parts) == 1 else parts


def predicted(probs: Tensor) -> Tensor:
    """(..., h, w) uint8 label maps: foreground where its probability is at least 0.5, the most probable of several.

    As with one class, a class wins against an equally probable background; of equally probable classes the first wins.
    """
    if probs.shape[CLASSES] == 1:
        return (probs.select(CLASSES, 0) >= 0.5).to(torch.uint8)
    background, classes = probs.tensor_split([1], CLASSES)
    highest, label = classes.max(CLASSES)
    return ((label + 1) * (highest >= background.squeeze(CLASSES))).to(torch.uint8)


def predicted_masks(probs: Tensor, valid: Tensor) -> Tensor:
    """(b, h, w) uint8 label maps, 0 where `valid` (b, h, w) is 0."""
    return predicted(probs) * (valid > 0)
