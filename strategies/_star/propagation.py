"""Propagation of labels in all groups of a pool (STAR, Secs. 2.1 and 2.2), without gradients.

The labeled slices of a few cases at a time are encoded to the memory, so that its size is bounded. The other slices go
through the network batch by batch. Each is encoded once for all of its groups, and only its mask, its similarity and
its entropy are kept, on the device until the end, because each read makes the CPU wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.acquisition import Scores, mean_over_valid
from albench.encoder_decoder import Features
from albench.masks import Ids, Mask, PackedMasks
from albench.probabilities import activated, predicted_masks
from albench.strategies._star.attention_examples import Attention, attention_examples, largest_of_cases
from albench.strategies._star.groups import rows_of
from albench.strategies._star.memory import Describe, Memory, batch_memory, encode_memory
from albench.strategies._star.network import KeyValues, StarNetwork, aggregate
from albench.training.batches import Gathered, Images
from albench.training.device import to_device
from albench.training.learner import Learner
from albench.training.packing import pack_predictions

Aggregation = Literal["attention", "self", "none"]


@dataclass(frozen=True)
class Rules:
    """Options of propagation.

    Attributes:
        aggregation: segment by `attention` to the labeled slices of the group, from the slice alone (`self`), or not at
            all (`none`).
        describe: maps features and valid pixels of b slices to (b, d) vectors, whose dot products are similarities.
        entropy: maps (b, k, h, w) probabilities to the entropy of each pixel.
    """

    aggregation: Aggregation
    describe: Describe
    entropy: Callable[[Tensor], Tensor]


class Propagation(NamedTuple):
    """The result of propagation for n unlabeled slices.

    Attributes:
        ids: (n,) in ascending order.
        similarity: (n,) to the labeled slices of the same group, Eq. 4; -1 for slices without one.
        entropy: (n,) mean over valid pixels; NaN with aggregation `none`.
        masks: predicted foreground; empty with aggregation `none`.
        attention: examples from a few cases: of each the slice with the largest predicted foreground.
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
    """Compute similarities, predictions and their entropy, averaged over the groups of each slice.

    Args:
        network: the network of the learner.
        learner: reads slices and runs the network.
        ids: (n,) slices to segment in ascending order, at least one.
        memory: {id: (h, w) mask} of the labeled slices.
        groups: for each case the ids in each of its groups, which are consecutive.
        rules: options.
        shown: number of cases with an example of attention.
    """
    case, labeled = learner.slices.case, np.array(sorted(memory), dtype=np.int64)
    pairs: list[tuple[int, int]] = []
    cosines, entropies, areas = Gathered(), Gathered(), Gathered()

    def segment(cases: list[int]) -> Iterator[tuple[_Scores, Tensor]]:
        own = ids[np.isin(case[ids], cases)]
        own_memory = {i: memory[i] for i in labeled[np.isin(case[labeled], cases)].tolist()}
        own_groups = [group for index in cases for group in groups[index]]
        return _propagate_block(network, learner, own, own_memory, own_groups, rules)

    def masks() -> Iterator[tuple[Ids, Tensor]]:
        for scores, labels in chain.from_iterable(map(segment, _blocks(counts, _BATCHES * learner.inference_batch))):
            pairs.extend((i, len(members)) for i, members in scores.pairs)
            cosines.add(scores.cosines)
            entropies.add(scores.entropy)
            areas.add(scores.areas)
            yield scores.ids, labels

    def attended(i: int) -> Ids:
        found = (rows_of(group, labeled) for group in groups[case[i]] if i in group)
        return labeled[next(rows for rows in found if len(rows))]

    counts = np.bincount(case[labeled], minlength=len(groups))
    predicted = pack_predictions(learner.slices, ids, masks())
    attention = []
    if rules.aggregation == "attention":
        attending = np.isin(ids, [i for i, _ in pairs])
        largest = ids[largest_of_cases(case[ids], areas.read() * attending, shown)].tolist()
        segmented = {i: predicted[i] for i in largest}
        attention = attention_examples(network, learner, segmented, list(map(attended, largest)), memory)
    return Propagation(ids, _similarity(ids, pairs, cosines.read()), entropies.read(), predicted, attention)


def _similarity(ids: Ids, pairs: Sequence[tuple[int, int]], cosines: Scores) -> Scores:
    """(n,) similarities, Eq. 4, averaged over the groups of a slice; -1 for slices without one.

    Args:
        ids: (n,) ascending.
        pairs: a slice, and how many labeled slices one of its groups has.
        cosines: of the slice and each of these, pair after pair.
    """
    if not pairs:
        return np.full(len(ids), -1.0)
    rows, sizes = np.array(pairs).T
    rows = np.searchsorted(ids, rows)
    means = np.add.reduceat(cosines, np.cumsum(sizes) - sizes) / sizes
    count = np.bincount(rows, minlength=len(ids))
    return np.where(count > 0, np.bincount(rows, means, len(ids)) / np.maximum(count, 1), -1.0)


_BATCHES = 4  # of labeled slices in the memory of a block, before the remaining ones of its last case


def _blocks(labeled: NDArray[np.int64], enough: int) -> Iterator[list[int]]:
    """Blocks of consecutive cases, each with at least `enough` labeled slices except the last.

    Args:
        labeled: (s,) number of labeled slices of each case.
    """
    block: list[int] = []
    count = 0
    for index, own in enumerate(labeled.tolist()):
        block.append(index)
        count += own
        if count >= enough:
            yield block
            block, count = [], 0
    if block:
        yield block


_Pair = tuple[int, Ids]  # a slice, and rows of the memory that it attends to in one of its groups


class _Scores(NamedTuple):
    """Results for b slices, on the device.

    Attributes:
        ids: (b,)
        pairs: one for each group of each slice.
        cosines: (c,) of the slice and of every row of the memory, pair after pair.
        entropy: (b,) float64 mean over the scored pixels; NaN without predictions.
        areas: (b,) predicted foreground in pixels.
    """

    ids: Ids
    pairs: list[_Pair]
    cosines: Tensor
    entropy: Tensor
    areas: Tensor


def _propagate_block(
    network: StarNetwork,
    learner: Learner,
    ids: Ids,
    memory: Mapping[int, Mask],
    groups: Sequence[Ids],
    rules: Rules,
) -> Iterator[tuple[_Scores, Tensor]]:
    """Scores and (b, h, w) label maps of a block of cases, batch by batch, from their `memory` and `groups`."""
    attends = rules.aggregation == "attention"
    members = _members(groups, np.fromiter(memory, np.int64))
    encoded = encode_memory(network, learner, memory, rules.describe, with_masks=attends) if members else None
    return learner.stream(learner.slices, ids, _Block(network, learner, encoded, members, rules).forward)


def _members(groups: Sequence[Ids], labeled: Ids) -> dict[int, list[Ids]]:
    """{id: rows of `labeled` in each of its groups}, without the groups that contain no labeled slice."""
    members: dict[int, list[Ids]] = {}
    for group in groups:
        rows = rows_of(group, labeled)
        if len(rows):
            for i in group.tolist():
                members.setdefault(i, []).append(rows)
    return members


@dataclass(frozen=True)
class _Block:
    """A block of cases.

    Attributes:
        network: the network of the learner.
        learner: runs the network.
        memory: encodings of the labeled slices of these cases; None if no group contains one.
        members: {slice id: rows of the memory in each of its groups}.
        rules: options.
    """

    network: StarNetwork
    learner: Learner
    memory: Memory | None
    members: Mapping[int, Sequence[Ids]]
    rules: Rules

    def forward(self, ids: Ids, batch: Images) -> tuple[_Scores, Tensor]:
        """Segment a batch from the labeled slices of its groups, and score it."""
        features = self.network.encode(batch.images)
        pairs = [(i, members) for i in ids.tolist() for members in self.members.get(i, ())]
        rows, members = np.searchsorted(ids, [i for i, _ in pairs]), [own for _, own in pairs]
        cosines = self._cosines(rows, members, self.rules.describe(features, batch.valid))
        valid = batch.valid[:, 0]
        if self.rules.aggregation == "none":
            none = torch.zeros(len(ids), dtype=torch.float64, device=valid.device)
            return _Scores(ids, pairs, cosines, none + torch.nan, none), torch.zeros_like(valid, dtype=torch.uint8)
        probs = self._probabilities(rows, members, features, batch.images.shape[-2:])
        entropy = mean_over_valid(self.rules.entropy(probs), self.learner.scored(self.learner.slices, ids, valid))
        labels = predicted_masks(probs, valid)
        return _Scores(ids, pairs, cosines, entropy.double(), (labels > 0).sum((1, 2)).double()), labels

    def _cosines(self, rows: Ids, members: Sequence[Ids], vectors: Tensor) -> Tensor:
        """(c,) cosines of the rows of (b, d) vectors and their members, not averaged."""
        if not members:
            return vectors.new_empty(0)
        assert self.memory is not None
        sizes = [len(own) for own in members]
        labeled = self.memory.vectors[to_device(np.concatenate(members), vectors.device)]
        others = vectors[to_device(np.repeat(rows, sizes), vectors.device)]
        return (labeled * others).sum(1)  # not a matrix product, whose rounding depends on the position in the batch

    def _probabilities(self, rows: Ids, members: Sequence[Ids], features: Features, size: torch.Size) -> Tensor:
        """(b, k, h, w) probabilities: the mean over the groups of a slice; without any, from the slice alone."""
        if self.rules.aggregation == "self":
            rows, members = rows[:0], []
        kv = self.network.query_head(features.deepest)  # Eq. 1, left
        count = np.bincount(rows, minlength=len(kv.keys))
        whole = self.network.prepare(features)  # skip connections, once for all groups
        total = features.deepest.new_zeros(len(count), self.network.outputs, *size, dtype=torch.float32)
        for part in _evenly(len(rows), self.learner.inference_batch):
            taken = _rows(rows[part], total.device)
            assert self.memory is not None
            memory, valid = batch_memory(self.memory, members[part])
            read = aggregate(KeyValues(*(own[taken] for own in kv)), memory, valid, features.deepest.shape[-2:])
            total.index_add_(0, to_device(rows[part], total.device), self._decode(whole, taken, size, read))
        alone = np.flatnonzero(count == 0)
        if len(alone):
            taken = _rows(alone, total.device)
            total[taken] = self._decode(whole, taken, size)
        return total / to_device(np.maximum(count, 1), total.device)[:, None, None, None]

    def _decode(self, whole: Features, rows: Tensor | slice, size: torch.Size, read: Tensor | None = None) -> Tensor:
        """(n, k, h, w) probabilities of n rows, with `read` in place of their own bottleneck if given."""
        part = whole.rows(rows)
        logits = self.network.decode(part if read is None else part._replace(deepest=read), size)
        return activated(logits)


def _rows(rows: Ids, device: torch.device) -> Tensor | slice:
    """An index of some elements of the first dimension: if they are consecutive, a slice, which copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    consecutive = last - first + 1 == len(rows) and (np.diff(rows) == 1).all()
    return slice(first, last + 1) if consecutive else to_device(rows, device)


def _evenly(count: int, size: int) -> Iterator[slice]:
    """Consecutive parts of nearly equal length, of about `size` and at most half as many more."""
    for part in np.array_split(np.arange(count), max(1, round(count / size))):
        if len(part):
            yield slice(part[0], part[-1] + 1)
