"""The cosine similarity of two slices, Eq. 4 of STAR, in three interpretations.

Each function maps slices to vectors, such that the similarity of two slices is the dot product of their vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from albench.encoder_decoder import Features
from albench.strategies._star.network import valid_positions

Similarity = Literal["flat", "positional", "multiscale"]


def flat(features: Features, valid: Tensor) -> Tensor:
    """(b, D h w): the bottleneck as one vector; the dot product is the cosine of entire feature maps.

    Args:
        features: of b slices.
        valid: (b, 1, H, W), 1 on image pixels and 0 on padding.
    """
    maps = features.deepest.float()
    return normalize((maps * valid_positions(valid, maps)[:, None]).flatten(1))


def positional(features: Features, valid: Tensor) -> Tensor:
    """(b, D h w): the dot product is the cosine over channels at each position of the bottleneck, averaged."""
    return _mean_of_cosines(features.deepest.float(), valid)


def multiscale(features: Features, valid: Tensor) -> Tensor:
    """(b, 3 k h w): as `positional`, on the three deepest maps, interpolated to the shape (k, h, w) of the third.

    As in the authors' code, channels are interpolated as well, although neighboring channels are unrelated.
    """
    layers = (features.deepest, *features.skips[:2])
    shape = layers[-1].shape[1:]
    scaled = [interpolate(maps.float()[:, None], shape, mode="trilinear", align_corners=False) for maps in layers]
    return _mean_of_cosines(torch.cat(scaled, 2)[:, 0], valid)


SIMILARITIES: dict[str, Callable[[Features, Tensor], Tensor]] = {
    "flat": flat,
    "positional": positional,
    "multiscale": multiscale,
}


def _mean_of_cosines(maps: Tensor, valid: Tensor) -> Tensor:
    inside = valid_positions(valid, maps)[:, None]
    return (normalize(maps) * inside / inside.sum((2, 3), keepdim=True).sqrt()).flatten(1)
