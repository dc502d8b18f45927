"""The mathematics of asking: pure functions on tensors and arrays."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def binary_entropy(probs: Tensor) -> Tensor:
    """Entropy in nats of a Bernoulli distribution, `-p ln p - (1-p) ln(1-p)`, 0 at 0 and 1. Any shape."""
    return torch.special.entr(probs) + torch.special.entr(1 - probs)


def margin(probs: Tensor) -> Tensor:
    """Gap between the probabilities of the two classes, `|2p - 1|`. Any shape."""
    return (2 * probs - 1).abs()


def mean_over_valid(values: Tensor, valid: Tensor) -> Tensor:
    """(n,) mean of (n, h, w) values over the pixels where `valid` (n, h, w) is 1."""
    return (values * valid).sum((1, 2)) / valid.sum((1, 2))


def highest(scores: NDArray[np.float64], ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The `count` ids with the highest scores, highest first; among equals the lower id comes first."""
    return ids[np.lexsort((ids, -scores))][:count]
