"""Propagation of labels through all groups of a pool (STAR, Secs. 2.1 and 2.2), without gradients.

A few subjects at a time, so that memory is bounded and batches are full: every slice is encoded once, however many
groups it lies in, and attention and decoder take the slices of all groups together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from albench.acquisition import Scores, foreground, mean_over_valid
from albench.learner import Learner, chunks, evaluating
from albench.masks import Ids, Mask, PackedMasks
from albench.networks import Features
from albench.strategies._star_encoded import (
    Encoded,
    encode_labeled,
    encode_unlabeled,
    side_by_side,
    take,
    take_features,
)
from albench.strategies._star_network import KeyValues, StarNetwork, aggregate, attention_map

Aggregation = Literal["attention", "self", "none"]


@dataclass(frozen=True)
class Rules:
    """How a pool is propagated.

    Attributes:
        aggregation: predict by `attention` over the labeled slices of the group, by the slice `self`, or `none`.
        describe: (b, d) vectors of slices from their features and valid pixels; dot products are similarities.
        entropy: of (b, h, w) probabilities.
    """

    aggregation: Aggregation
    describe: Callable[[Features, Tensor], Tensor]
    entropy: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attention:
    """Where a slice looked, for figures.

    Attributes:
        slice_id: the unlabeled slice.
        memory: (n,) ids of the labeled slices of its group.
        weights: (n, h, w) attention, averaged over the positions that are foreground in the slice; sums to 1.
        area: foreground pixels of the slice.
    """

    slice_id: int
    memory: Ids
    weights: NDArray[np.float32]
    area: int


class Propagation(NamedTuple):
    """What is known about unlabeled slices; arrays have one element per slice, in the order of `ids`.

    Attributes:
        ids: ascending.
        similarity: to the labeled slices of their groups, Eq. 4; -1 for slices that share no group with one.
        entropy: mean over valid pixels; NaN with aggregation `none`.
        masks: predicted foreground; empty with aggregation `none`.
        attention: of the slice with the largest foreground of each subject, a few of the largest.
    """

    ids: Ids
    similarity: Scores
    entropy: Scores
    masks: PackedMasks
    attention: list[Attention]


def propagate(
    network: StarNetwork,
    learner: Learner,
    ids: Ids,
    memory: Mapping[int, Mask],
    groups: Sequence[Sequence[Ids]],
    rules: Rules,
    *,
    shown: int = 2,
) -> Propagation:
    """Similarity, predictions and their entropy, averaged over the groups that a slice lies in.

    Args:
        network: the learner's.
        learner: knows slices, device and batch size.
        ids: the slices to segment, ascending, at least one.
        memory: {id: (h, w) mask} of the labeled slices.
        groups: of each subject the ids in each of its groups.
        rules: how.
        shown: number of subjects whose attention is kept.
    """
    subject = learner.slices.subject
    similarity, entropy = np.empty((2, len(ids)))
    attention: list[Attention] = []

    def masks() -> Iterator[tuple[Ids, NDArray[np.uint8]]]:
        for block in _blocks(np.bincount(subject[ids], minlength=len(groups)), _BATCHES * learner.inference_batch):
            rows = np.flatnonzero(np.isin(subject[ids], block))
            own_memory = {i: memory[i] for i in sorted(memory) if subject[i] in block}
            own_groups = [group for index in block for group in groups[index]]
            with evaluating(network), torch.no_grad():
                found = _propagate_block(network, learner, ids[rows], own_memory, own_groups, rules)
            similarity[rows], entropy[rows] = found.similarity, found.entropy
            attention.extend(found.attention)
            attention.sort(key=lambda a: (-a.area, a.slice_id))
            del attention[shown:]
            yield ids[rows], found.masks

    predicted = PackedMasks.collect(ids, learner.slices.shape[1:], masks())
    return Propagation(ids, similarity, entropy, predicted, attention)


_BATCHES = 4  # that a block fills at least: its last batch is small and costs almost as much as a whole one


class _Found(NamedTuple):
    """What is known about the slices of a block, as in Propagation; the masks are (n, h, w)."""

    similarity: Scores
    entropy: Scores
    masks: NDArray[np.uint8]
    attention: list[Attention]


def _blocks(slices: NDArray[np.int64], enough: int) -> Iterator[list[int]]:
    """Consecutive subjects with something to segment, together until they have `enough` slices or are the last."""
    block: list[int] = []
    for index in np.flatnonzero(slices).tolist():
        block.append(index)
        if slices[block].sum() >= enough:
            yield block
            block = []
    if block:
        yield block


def _propagate_block(
    network: StarNetwork,
    learner: Learner,
    ids: Ids,
    memory: Mapping[int, Mask],
    groups: Sequence[Ids],
    rules: Rules,
) -> _Found:
    attends = rules.aggregation == "attention"
    unlabeled = encode_unlabeled(network, learner, ids)
    links = _links(groups, ids, np.array(list(memory), dtype=np.int64))
    labeled = encode_labeled(network, learner, memory, with_masks=attends) if links else unlabeled
    block = _Block(network, learner, unlabeled, labeled, links)
    similarity = block.similarity(rules.describe)
    if rules.aggregation == "none":
        empty = np.zeros((len(ids), *learner.slices.shape[1:]), dtype=np.uint8)
        return _Found(similarity, np.full(len(ids), np.nan), empty, [])
    probs = block.probabilities(attends=attends)
    inside = unlabeled.valid[:, 0]
    pieces = zip(*(maps.split(learner.inference_batch) for maps in (probs, inside)), strict=True)
    entropy = torch.cat([mean_over_valid(rules.entropy(some), valid) for some, valid in pieces])
    masks = foreground(probs, inside)
    attention = block.attention(masks, ids, np.array(list(memory))) if attends and links else []
    return _Found(similarity, entropy.double().cpu().numpy(), masks, attention)


class _Link(NamedTuple):
    """A group, as rows of the block's slices to segment and rows of its labeled slices; neither is empty."""

    rows: Ids
    members: Ids


def _links(groups: Sequence[Ids], unlabeled: Ids, labeled: Ids) -> list[_Link]:
    links = [_Link(*(np.flatnonzero(np.isin(ids, group)) for ids in (unlabeled, labeled))) for group in groups]
    return [link for link in links if len(link.rows) and len(link.members)]


@dataclass(frozen=True)
class _Block:
    """Subjects whose slices have been encoded."""

    network: StarNetwork
    learner: Learner
    unlabeled: Encoded
    labeled: Encoded
    links: Sequence[_Link]

    def similarity(self, describe: Callable[[Features, Tensor], Tensor]) -> Scores:
        """(u,) Eq. 4, averaged over the groups of a slice; -1 for slices in none."""
        total, count = np.zeros(len(self.unlabeled.valid)), np.zeros(len(self.unlabeled.valid))
        for rows, members in self.links:
            ours, theirs = (
                describe(take_features(slices.features, which), take(slices.valid, which))
                for slices, which in ((self.unlabeled, rows), (self.labeled, members))
            )
            cosines = ours @ theirs.T
            total[rows] += cosines.double().mean(1).cpu().numpy()  # Eq. 4
            count[rows] += 1
        return np.where(count > 0, total / np.maximum(count, 1), -1.0)

    def probabilities(self, *, attends: bool) -> Tensor:
        """(u, h, w) of foreground, averaged over the groups of a slice; by itself if it does not attend or has none."""
        total = torch.zeros_like(self.unlabeled.valid[:, 0])
        count = np.zeros(len(total), dtype=np.int64)
        for rows, features in self._decodable(attends):
            with self.learner.autocast():
                logits = self.network.decode(features, total.shape[-2:])
            probs = torch.sigmoid(logits.float())[:, 0]
            total.index_add_(0, torch.from_numpy(rows).to(total.device), probs)
            np.add.at(count, rows, 1)
        return total / torch.from_numpy(count).to(total)[:, None, None]

    def attention(self, masks: NDArray[np.uint8], ids: Ids, memory: Ids) -> list[Attention]:
        """Where the slice with the largest of (u, h, w) masks of each subject looked, if that is not empty."""
        linked = np.unique(np.concatenate([link.rows for link in self.links]))
        areas = np.zeros(len(ids), dtype=np.int64)
        areas[linked] = masks[linked].sum((1, 2))
        subject = self.learner.slices.subject[ids]
        largest = [rows[areas[rows].argmax()] for rows in (np.flatnonzero(subject == i) for i in np.unique(subject))]
        return [self._looked(row, masks[row], ids, memory) for row in largest if areas[row]]

    def _looked(self, row: int, mask: Mask, ids: Ids, memory: Ids) -> Attention:
        members = next(link.members for link in self.links if row in link.rows)
        kv, valid = side_by_side(self.labeled, [members])
        weights = attention_map(self.unlabeled.kv.keys[[row]], kv.keys, valid)[0]  # (p, n p)
        size = self.unlabeled.features.r4.shape[-2:]
        whole = torch.from_numpy(mask).to(weights.device).float()
        share = interpolate(whole[None, None], size, mode="area").flatten()
        looked = (share @ weights / share.sum()).reshape(len(members), *size).cpu().numpy()
        return Attention(int(ids[row]), memory[members], looked, int(mask.sum()))

    def _decodable(self, attends: bool) -> Iterator[tuple[Ids, Features]]:
        """Batches of rows and what the decoder makes masks of: a row for each of its groups, or alone."""
        features, size = self.unlabeled.features, self.learner.training.batch_size
        grouped = [(row, group) for group, link in enumerate(self.links) for row in link.rows.tolist()]
        pairs = np.array(sorted(grouped) if attends else [], dtype=np.int64).reshape(-1, 2)
        for chunk in chunks(pairs, size):
            rows, groups = chunk.T
            memory, valid = side_by_side(self.labeled, [self.links[group].members for group in groups])
            query = KeyValues(*(take(part, rows) for part in self.unlabeled.kv))
            r4 = aggregate(query, memory, valid, features.r4.shape[-2:])
            yield rows, Features(r4, take(features.r3, rows), take(features.r2, rows))
        alone = np.setdiff1d(np.arange(len(features.r4)), pairs[:, 0])
        for rows in chunks(alone, size):
            yield rows, take_features(features, rows)
