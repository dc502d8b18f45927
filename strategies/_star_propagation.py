"""Propagation of labels through all groups of a pool (STAR, Secs. 2.1 and 2.2), without gradients.

A few subjects at a time, so that memory is bounded and batches are full: every slice is encoded once, however many
groups it lies in, and attention and decoder take the slices of all groups together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
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

    def segment(block: list[int]) -> tuple[Ids, NDArray[np.uint8]]:
        rows = np.flatnonzero(np.isin(subject[ids], block))
        own_memory = {i: memory[i] for i in sorted(memory) if subject[i] in block}
        own_groups = [group for index in block for group in groups[index]]
        with evaluating(*network.modules()), torch.no_grad():
            found = _propagate_block(network, learner, ids[rows], own_memory, own_groups, rules)
        similarity[rows], entropy[rows] = found.similarity, found.entropy
        attention.extend(found.attention)
        attention.sort(key=lambda a: (-a.area, a.slice_id))
        del attention[shown:]
        return ids[rows], found.masks

    blocks = _blocks(np.bincount(subject[ids], minlength=len(groups)), _BATCHES * learner.inference_batch)
    predicted = PackedMasks.collect(ids, learner.slices.shape[1:], map(segment, blocks))
    return Propagation(ids, similarity, entropy, predicted, attention)


_BATCHES = 3  # that a block fills at least: its last batch is small and costs almost as much as a whole one


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
    similarity, entropy = block.similarity(rules.describe), np.full(len(ids), np.nan)
    masks = np.zeros((len(ids), *learner.slices.shape[1:]), dtype=np.uint8)
    if rules.aggregation != "none":

        def judge(rows: Ids, probs: Tensor) -> None:
            valid = learner.valid(learner.slices, ids[rows])[:, 0]
            entropy[rows] = mean_over_valid(rules.entropy(probs), valid).double().cpu().numpy()
            masks[rows] = foreground(probs, valid)

        for _ in starmap(judge, block.probabilities(attends=attends)):  # a loop's variables would hold the last batch
            pass
    return _Found(similarity, entropy, masks, block.attention(masks) if attends and links else [])


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
        total, count = np.zeros((2, len(self.unlabeled.ids)))
        ours, theirs = (
            (slices.features, self.learner.valid(self.learner.slices, slices.ids))
            for slices in (self.unlabeled, self.labeled)
        )
        for rows, members in self.links:
            first, second = (
                describe(take_features(features, which), take(valid, which))
                for (features, valid), which in ((ours, rows), (theirs, members))
            )
            cosines = first @ second.T
            total[rows] += cosines.double().mean(1).cpu().numpy()  # Eq. 4
            count[rows] += 1
        return np.where(count > 0, total / np.maximum(count, 1), -1.0)

    def probabilities(self, *, attends: bool) -> Iterator[tuple[Ids, Tensor]]:
        """Rows (b,) and their (b, h, w) foreground: the mean over groups; of the slice alone without any to attend to.

        Every row comes once: all its groups are in one batch, which they can make a little larger than others.
        """
        size = self.learner.training.batch_size
        grouped = [(row, group) for group, link in enumerate(self.links) for row in link.rows.tolist()]
        pairs = np.array(sorted(grouped) if attends else [], dtype=np.int64).reshape(-1, 2)
        attending, first, which = np.unique(pairs[:, 0], return_index=True, return_inverse=True)
        batches = first[which] // size
        alone = np.setdiff1d(np.arange(len(self.unlabeled.ids)), attending)
        return chain(
            map(self._from_memory, (pairs[batches == batch] for batch in np.unique(batches))),
            map(self._alone, chunks(alone, size)),
        )

    def _from_memory(self, pairs: NDArray[np.int64]) -> tuple[Ids, Tensor]:
        rows, groups = pairs.T
        features = self.unlabeled.features
        memory, valid = side_by_side(self.labeled, [self.links[group].members for group in groups])
        query = KeyValues(*(take(part, rows) for part in self.unlabeled.kv))
        r4 = aggregate(query, memory, valid, features.r4.shape[-2:])
        probs = self._decode(Features(r4, take(features.r3, rows), take(features.r2, rows)))
        once, place, count = np.unique(rows, return_inverse=True, return_counts=True)
        total = torch.zeros_like(probs[: len(once)]).index_add_(0, torch.from_numpy(place).to(probs.device), probs)
        return once, total / torch.from_numpy(count).to(total)[:, None, None]

    def _alone(self, rows: Ids) -> tuple[Ids, Tensor]:
        return rows, self._decode(take_features(self.unlabeled.features, rows))

    def _decode(self, features: Features) -> Tensor:
        with self.learner.autocast():
            logits = self.network.decode(features, torch.Size(self.learner.slices.shape[1:]))
        return torch.sigmoid(logits.float())[:, 0]

    def attention(self, masks: NDArray[np.uint8]) -> list[Attention]:
        """Where the slice with the largest of (u, h, w) masks of each subject looked, if that is not empty."""
        linked = np.unique(np.concatenate([link.rows for link in self.links]))
        areas = np.zeros(len(masks), dtype=np.int64)
        areas[linked] = masks[linked].sum((1, 2))
        subject = self.learner.slices.subject[self.unlabeled.ids]
        largest = [rows[areas[rows].argmax()] for rows in (np.flatnonzero(subject == i) for i in np.unique(subject))]
        return [self._looked(row, masks[row]) for row in largest if areas[row]]

    def _looked(self, row: int, mask: Mask) -> Attention:
        members = next(link.members for link in self.links if row in link.rows)
        kv, valid = side_by_side(self.labeled, [members])
        weights = attention_map(self.unlabeled.kv.keys[[row]], kv.keys, valid)[0]  # (p, n p)
        size = self.unlabeled.features.r4.shape[-2:]
        whole = torch.from_numpy(mask).to(weights.device).float()
        share = interpolate(whole[None, None], size, mode="area").flatten()
        looked = (share @ weights / share.sum()).reshape(len(members), *size).cpu().numpy()
        return Attention(int(self.unlabeled.ids[row]), self.labeled.ids[members], looked, int(mask.sum()))
