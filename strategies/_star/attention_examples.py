"""Examples of attention, for figures (STAR, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from albench.encoder_decoder import Features
from albench.masks import Ids, Mask
from albench.strategies._star.memory import batch_memory, encode_memory
from albench.strategies._star.network import StarNetwork, attention_map
from albench.training.batches import Images
from albench.training.device import to_device
from albench.training.learner import Learner


@dataclass(frozen=True)
class Attention:
    """The attention of a slice to labeled slices, for figures.

    Attributes:
        slice_id: the unlabeled slice.
        memory: (n,) ids of the labeled slices of its group.
        weights: (n, h, w) attention averaged over the predicted foreground of the slice; sums to 1.
        area: predicted foreground of the slice in pixels.
    """

    slice_id: int
    memory: Ids
    weights: NDArray[np.float32]
    area: int


def largest_of_cases(case: NDArray[np.int64], areas: NDArray[np.float64], count: int) -> list[int]:
    """Of the cases with the largest areas, up to `count`, the row with the largest area; ties by the lower row.

    Args:
        case: (n,) of every row.
        areas: (n,) in pixels; rows and cases with 0 are left out.
    """
    ranked = np.lexsort((np.arange(len(areas)), -areas))
    _, first = np.unique(case[ranked], return_index=True)
    return [int(row) for row in ranked[np.sort(first)][:count] if areas[row] > 0]


def attention_to(
    network: StarNetwork, learner: Learner, slice_id: int, mask: Mask, labeled: Mapping[int, Mask]
) -> Attention:
    """The attention of a slice to labeled slices.

    Args:
        network: the network of the learner.
        learner: runs it.
        slice_id: the unlabeled slice.
        mask: (h, w) its prediction, with foreground.
        labeled: {id: (h, w) mask} of the labeled slices of one of its groups.
    """

    def encode(_: Ids, batch: Images) -> tuple[Tensor, torch.Size]:
        deepest = network.encode(batch.images).deepest
        return network.query_head(deepest).keys, deepest.shape[-2:]

    ((keys, size),) = learner.stream(learner.slices, np.array([slice_id]), encode)
    memory = encode_memory(network, learner, labeled, _nothing, with_masks=True)
    known, valid = batch_memory(memory, [np.arange(len(labeled))])
    weights = attention_map(keys, known.keys, valid)[0]  # (p, n p)
    foreground = to_device(mask > 0, weights.device).float()
    share = interpolate(foreground[None, None], size, mode="area").flatten()
    mean = (share @ weights / share.sum()).reshape(len(labeled), *size).cpu().numpy()
    return Attention(slice_id, memory.ids, mean, int(np.count_nonzero(mask)))


def _nothing(features: Features, valid: Tensor) -> Tensor:
    """No description of b slices, (b, 0)."""
    return features.deepest.new_empty(len(valid), 0)
