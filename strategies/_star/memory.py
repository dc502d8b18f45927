"""STAR's memory of labeled slices, each encoded once for all slices that attend to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from albench.encoder_decoder import Features
from albench.masks import Ids, Mask
from albench.strategies._star.network import KeyValues, Labeled, StarNetwork, valid_positions
from albench.training.batches import batched, concat_batches
from albench.training.device import to_device
from albench.training.learner import Learner
from albench.training.predictor import eval_mode

Describe = Callable[[Features, Tensor], Tensor]


class Memory(NamedTuple):
    """Encodings of n labeled slices.

    Attributes:
        ids: (n,)
        vectors: (n, d), whose dot products with those of other slices are similarities.
        kv: (n, p, .) keys and values.
        inside: (n, p) bool, False in the padding.
    """

    ids: Ids
    vectors: Tensor
    kv: KeyValues
    inside: Tensor


def encode_memory(
    network: StarNetwork, learner: Learner, masks: Mapping[int, Mask], describe: Describe, *, with_masks: bool
) -> Memory:
    """Encode slices in the order of `masks`, by Enc_L with their masks or, if not `with_masks`, by Enc_U without.

    Args:
        masks: {id: (h, w) mask}, at least one.
        describe: maps features and valid pixels of b slices to their (b, d) vectors.
    """

    def encode(some: Ids) -> tuple[Tensor, ...]:
        batch = learner.batch(learner.slices, some, np.stack([masks[i] for i in some.tolist()]))
        with learner.autocast():
            features = network.labeled_encoder(Labeled.of(batch)) if with_masks else network.encode(batch.images)
            kv = network.memory_head(features.deepest)  # Eq. 1, right
        return describe(features, batch.valid), *kv, valid_positions(batch.valid, features.deepest).flatten(1)

    ids = np.array(list(masks), dtype=np.int64)
    with eval_mode(*network.modules()), torch.no_grad():
        vectors, keys, values, inside = concat_batches(map(encode, batched(ids, learner.inference_batch)), len(ids))
    return Memory(ids, vectors, KeyValues(keys, values), inside)


def batch_memory(memory: Memory, members: Sequence[Ids]) -> tuple[KeyValues, Tensor]:
    """Batch the parts of the memory that b slices attend to.

    Args:
        members: for each of the b slices the rows of the memory that it attends to.

    Returns:
        (b, m, .) keys and values, where m is the number of positions of the slice with the most rows, and (b, m) bool,
        False in the padding of slices and where a slice has fewer rows.
    """
    count = np.array([len(own) for own in members])
    present = np.arange(count.max()) < count[:, None]
    index = np.zeros(present.shape, dtype=np.int64)
    index[present] = np.concatenate(members)
    rows, exists = (to_device(values, memory.inside.device) for values in (index, present))
    valid = memory.inside[rows] & exists[:, :, None]
    return KeyValues(*(part[rows].flatten(1, 2) for part in memory.kv)), valid.flatten(1)
