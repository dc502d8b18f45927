"""Examples of attention, for figures (STAR, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from albench.training.batches import Images, concat_batches
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


def attention_examples(
    network: StarNetwork,
    learner: Learner,
    predicted: Mapping[int, Mask],
    groups: Sequence[Ids],
    labeled: Mapping[int, Mask],
) -> list[Attention]:
    """The attention of some slices to labeled slices of their groups, all encoded together and read once.

    Args:
        network: the network of the learner.
        learner: runs it.
        predicted: {id: (h, w) prediction} of the unlabeled slices, with foreground.
        groups: for each of them the ids of the labeled slices of one of its groups, at least one.
        labeled: {id: (h, w) mask} of these.
    """
    if not predicted:
        return []
    sizes = set()

    def encode(_: Ids, batch: Images) -> tuple[Tensor]:
        deepest = network.encode(batch.images).deepest
        sizes.add(deepest.shape[-2:])
        return (network.query_head(deepest).keys,)

    ids, known = np.fromiter(predicted, np.int64), np.unique(np.concatenate(groups))
    (keys,) = concat_batches(learner.stream(learner.slices, ids, encode), len(ids))
    memory = encode_memory(network, learner, {i: labeled[i] for i in known.tolist()}, _nothing, with_masks=True)
    (size,) = sizes
    means = []
    for query, mask, group in zip(keys.split(1), predicted.values(), groups, strict=True):
        own, valid = batch_memory(memory, [np.searchsorted(known, group)])
        weights = attention_map(query, own.keys, valid)[0]  # (p, n p)
        foreground = to_device(mask > 0, weights.device).float()
        share = interpolate(foreground[None, None], size, mode="area").flatten()
        means.append(share @ weights / share.sum())
    read = torch.cat(means).cpu().split(list(map(len, means)))
    return [
        Attention(i, group, mean.reshape(len(group), *size).numpy(), int(np.count_nonzero(mask)))
        for (i, mask), group, mean in zip(predicted.items(), groups, read, strict=True)
    ]


def _nothing(features: Features, valid: Tensor) -> Tensor:
    """No description of b slices, (b, 0)."""
    return features.deepest.new_empty(len(valid), 0)
