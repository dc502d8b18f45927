"""Slices after encoding: what attention, similarity and decoder work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from albench.learner import Images, Learner, chunks, joined
from albench.masks import Ids, Mask
from albench.networks import Features
from albench.strategies._star_network import KeyValues, StarNetwork, valid_positions


class Encoded(NamedTuple):
    """n slices.

    Attributes:
        ids: (n,)
        features: (n, ., ., .) each.
        kv: (n, p, .) keys and values.
        inside: (n, p) bool, which positions count.
    """

    ids: Ids
    features: Features
    kv: KeyValues
    inside: Tensor


def take(part: Tensor, rows: Ids) -> Tensor:
    """Some elements of the first dimension, in the given order; without a copy if they are consecutive."""
    if np.array_equal(rows, np.arange(len(rows)) + rows[:1]):
        return part[rows[0] : rows[-1] + 1]
    return part[rows]


def take_features(features: Features, rows: Ids) -> Features:
    """Some slices' features."""
    return Features(*(take(maps, rows) for maps in features))


def encode_unlabeled(network: StarNetwork, learner: Learner, ids: Ids) -> Encoded:
    """Slices by Enc_U, each once."""

    def encode(_: Ids, batch: Images) -> tuple[Tensor, ...]:
        features = network.encode(batch.images)
        return _parts(features, network.query_head(features.r4), batch.valid)  # Eq. 1, left

    return _together(ids, learner.stream(learner.slices, ids, encode))


def encode_labeled(network: StarNetwork, learner: Learner, masks: Mapping[int, Mask], *, with_masks: bool) -> Encoded:
    """Slices and their masks by Enc_L, each once, in the order of `masks`; by Enc_U if not `with_masks`.

    Call it in evaluation mode.
    """

    def encode(some: Ids) -> tuple[Tensor, ...]:
        batch = learner.batch(learner.slices, some, np.stack([masks[i] for i in some.tolist()]))
        with learner.autocast():
            if with_masks:
                features = network.labeled_encoder(batch.images, batch.masks)  # Enc_L
            else:
                features = network.encode(batch.images)  # Enc_U
            kv = network.memory_head(features.r4)  # Eq. 1, right
        return _parts(features, kv, batch.valid)

    ids = np.array(list(masks), dtype=np.int64)
    return _together(ids, map(encode, chunks(ids, learner.training.batch_size)))


def side_by_side(labeled: Encoded, members: Sequence[Ids]) -> tuple[KeyValues, Tensor]:
    """The memories of b slices as one batch.

    Args:
        labeled: the labeled slices of the block.
        members: for each of the b slices the rows of its memory.

    Returns:
        (b, m, .) keys and values, where m is the number of positions of the largest memory, and (b, m) bool, false
        in padded slices and where a smaller memory has ended.
    """
    longest = max(len(rows) for rows in members)
    index = np.array([np.pad(rows, (0, longest - len(rows))) for rows in members])
    present = np.arange(longest) < np.array([len(rows) for rows in members])[:, None]
    valid = labeled.inside[index] & torch.from_numpy(present).to(labeled.inside.device)[:, :, None]
    return KeyValues(*(part[index].flatten(1, 2) for part in labeled.kv)), valid.flatten(1)


def _parts(features: Features, kv: KeyValues, valid: Tensor) -> tuple[Tensor, ...]:
    return *features, *kv, valid_positions(valid, features.r4).flatten(1)


def _together(ids: Ids, parts: Iterator[tuple[Tensor, ...]]) -> Encoded:
    r4, r3, r2, keys, values, inside = joined(parts, len(ids))
    return Encoded(ids, Features(r4, r3, r2), KeyValues(keys, values), inside)
