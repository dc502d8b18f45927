"""How alike two slices are in the embedding space: the cosine of Eq. 4, in three readings.

Each function makes one vector of every slice, such that the similarity of two slices is the dot product of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from albench.strategies._star.network import valid_positions
from albench.training.networks import Features

Similarity = Literal["flat", "positional", "multiscale"]


def flat(features: Features, valid: Tensor) -> Tensor:
    """(b, D h w): r4 as one vector, so that the dot product is the cosine of whole feature maps.

    Args:
        features: of b slices.
        valid: (b, 1, H, W), 1 on pixels that count.
    """
    r4 = features.r4.float()
    return normalize((r4 * valid_positions(valid, r4)[:, None]).flatten(1))


def positional(features: Features, valid: Tensor) -> Tensor:
    """(b, D h w): the dot product is the cosine over channels at each position of r4, averaged over positions."""
    return _mean_of_cosines(features.r4.float(), valid)


def multiscale(features: Features, valid: Tensor) -> Tensor:
    """(b, 3 k h w): as `positional`, on r4, r3 and r2 brought to the shape (k, h, w) of r2 and put together.

    As in STAR's code the channels are interpolated too, although neighboring channels have nothing in common.
    """
    shape = features.r2.shape[1:]
    scaled = [interpolate(maps.float()[:, None], shape, mode="trilinear", align_corners=False) for maps in features]
    return _mean_of_cosines(torch.cat(scaled, 2)[:, 0], valid)


SIMILARITIES: dict[str, Callable[[Features, Tensor], Tensor]] = {
    "flat": flat,
    "positional": positional,
    "multiscale": multiscale,
}


def _mean_of_cosines(maps: Tensor, valid: Tensor) -> Tensor:
    inside = valid_positions(valid, maps)[:, None]
    return (normalize(maps) * inside / inside.sum((2, 3), keepdim=True).sqrt()).flatten(1)
