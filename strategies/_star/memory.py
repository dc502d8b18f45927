"""STAR's memory: what labeled slices have to tell, each encoded once, however many slices look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from albench.masks import Ids, Mask
from albench.strategies._star.network import KeyValues, StarNetwork, valid_positions
from albench.training.device import to_device
from albench.training.learner import Learner, batched, concat_batches, eval_mode
from albench.training.networks import Features

Describe = Callable[[Features, Tensor], Tensor]


class Memory(NamedTuple):
    """n labeled slices.

    Attributes:
        ids: (n,)
        vectors: (n, d), whose dot products with those of other slices are similarities.
        kv: (n, p, .) keys and values.
        inside: (n, p) bool, which positions count.
    """

    ids: Ids
    vectors: Tensor
    kv: KeyValues
    inside: Tensor


def encode_memory(
    network: StarNetwork, learner: Learner, masks: Mapping[int, Mask], describe: Describe, *, with_masks: bool
) -> Memory:
    """Encode slices and their masks by Enc_L, in the order of `masks`; by Enc_U if not `with_masks`.

    Args:
        masks: {id: (h, w) mask}, at least one.
        describe: vectors of b slices from their features and valid pixels.
    """

    def encode(some: Ids) -> tuple[Tensor, ...]:
        batch = learner.batch(learner.slices, some, np.stack([masks[i] for i in some.tolist()]))
        with learner.autocast():
            if with_masks:
                features = network.labeled_encoder(batch.images, batch.masks)  # Enc_L
            else:
                features = network.encode(batch.images)  # Enc_U
            kv = network.memory_head(features.r4)  # Eq. 1, right
        return describe(features, batch.valid), *kv, valid_positions(batch.valid, features.r4).flatten(1)

    ids = np.array(list(masks), dtype=np.int64)
    with eval_mode(*network.modules()), torch.no_grad():
        vectors, keys, values, inside = concat_batches(map(encode, batched(ids, learner.inference_batch)), len(ids))
    return Memory(ids, vectors, KeyValues(keys, values), inside)


def side_by_side(memory: Memory, members: Sequence[Ids]) -> tuple[KeyValues, Tensor]:
    """The memories of b slices as one batch.

    Args:
        members: for each of the b slices the rows of what it looks at.

    Returns:
        (b, m, .) keys and values, where m is the number of positions of the largest memory, and (b, m) bool, false
        in padded slices and where a smaller memory has ended.
    """
    count = np.array([len(rows) for rows in members])
    present = np.arange(count.max()) < count[:, None]
    index = np.zeros(present.shape, dtype=np.int64)
    index[present] = np.concatenate(members)
    chosen, there = (to_device(values, memory.inside.device) for values in (index, present))
    valid = memory.inside[chosen] & there[:, :, None]
    return KeyValues(*(part[chosen].flatten(1, 2) for part in memory.kv)), valid.flatten(1)
