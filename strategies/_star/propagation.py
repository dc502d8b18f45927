"""Propagation of labels in all groups of a pool (STAR, Secs. 2.1 and 2.2), without gradients.

The labeled slices of a few cases at a time are encoded to the memory, so that its size is bounded. The other slices go
through the network batch by batch. Each is encoded once for all of its groups, and only its mask, its similarity and
its entropy are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from albench.acquisition import Scores, mean_over_valid
from albench.encoder_decoder import Features
from albench.masks import Ids, Mask, PackedMasks
from albench.probabilities import activated, predicted_masks
from albench.strategies._star.memory import Describe, Memory, batch_memory, encode_memory
from albench.strategies._star.network import KeyValues, StarNetwork, aggregate, attention_map
from albench.training.batches import Images
from albench.training.device import to_device
from albench.training.learner import Learner

T = TypeVar("T")

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
        groups: for each case the ids in each of its groups.
        rules: options.
        shown: number of cases with an example of attention.
    """
    case, labeled = learner.slices.case, np.array(sorted(memory), dtype=np.int64)
    similarity, entropy = np.empty((2, len(ids)))
    examples = _AttentionExamples(shown)

    def segment(cases: list[int]) -> Iterator[_BatchResult]:
        own = ids[np.isin(case[ids], cases)]
        own_memory = {i: memory[i] for i in labeled[np.isin(case[labeled], cases)].tolist()}
        own_groups = [group for index in cases for group in groups[index]]
        return _propagate_block(network, learner, own, own_memory, own_groups, rules, examples)

    def store(result: _BatchResult) -> tuple[Ids, NDArray[np.uint8]]:
        rows = np.searchsorted(ids, result.ids)
        similarity[rows], entropy[rows] = result.similarity, result.entropy
        return result.ids, result.masks

    counts = np.bincount(case[labeled], minlength=len(groups))
    results = chain.from_iterable(map(segment, _blocks(counts, _BATCHES * learner.inference_batch)))
    predicted = learner.slices.pack(ids, map(store, results))
    return Propagation(ids, similarity, entropy, predicted, examples.attention)


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


class _BatchResult(NamedTuple):
    """Results for b slices, as in `Propagation`, with (b, h, w) masks."""

    ids: Ids
    similarity: Scores
    entropy: Scores
    masks: NDArray[np.uint8]


def _propagate_block(
    network: StarNetwork,
    learner: Learner,
    ids: Ids,
    memory: Mapping[int, Mask],
    groups: Sequence[Ids],
    rules: Rules,
    examples: _AttentionExamples,
) -> Iterator[_BatchResult]:
    """Propagate labels in a block of cases, batch by batch; `memory` and `groups` are those of these cases."""
    attends = rules.aggregation == "attention"
    members = _members(groups, np.fromiter(memory, np.int64))
    encoded = encode_memory(network, learner, memory, rules.describe, with_masks=attends) if members else None
    block = _Block(network, learner, encoded, members, rules, examples)
    return map(block.score, learner.stream(learner.slices, ids, block.forward))


def _members(groups: Sequence[Ids], labeled: Ids) -> dict[int, list[Ids]]:
    """{id: rows of `labeled` in each of its groups}, without the groups that contain no labeled slice."""
    members: dict[int, list[Ids]] = {}
    for group in groups:
        rows = np.flatnonzero(np.isin(labeled, group))
        if len(rows):
            for i in group:
                members.setdefault(int(i), []).append(rows)
    return members


_Pair = tuple[int, Ids]


class _Outputs(NamedTuple):
    """Outputs of the network for b slices.

    Attributes:
        ids: (b,)
        pairs: row in the batch and rows of the memory that it attends to, one pair for each group of each slice.
        vectors: (b, d) for similarities.
        kv: (b, p, .) keys and values.
        size: height and width of the bottleneck, which has p positions.
        probs: (b, k, h, w) probabilities; None with aggregation `none`.
        valid: (b, h, w), 1 on image pixels and 0 on padding.
        scored: (b, h, w), 1 on the pixels whose entropy counts.
    """

    ids: Ids
    pairs: list[_Pair]
    vectors: Tensor
    kv: KeyValues
    size: torch.Size
    probs: Tensor | None
    valid: Tensor
    scored: Tensor


@dataclass(frozen=True)
class _Block:
    """A block of cases.

    Attributes:
        network: the network of the learner.
        learner: runs the network.
        memory: encodings of the labeled slices of these cases; None if no group contains one.
        members: {slice id: rows of the memory in each of its groups}.
        rules: options.
        examples: updated with every batch.
    """

    network: StarNetwork
    learner: Learner
    memory: Memory | None
    members: Mapping[int, Sequence[Ids]]
    rules: Rules
    examples: _AttentionExamples

    def forward(self, ids: Ids, batch: Images) -> _Outputs:
        """Segment a batch from the labeled slices of its groups."""
        features = self.network.encode(batch.images)
        kv = self.network.query_head(features.deepest)  # Eq. 1, left
        pairs = [(row, members) for row, i in enumerate(ids.tolist()) for members in self.members.get(i, ())]
        probs = None
        if self.rules.aggregation != "none":
            attended = pairs if self.rules.aggregation == "attention" else []
            probs = self._probabilities(attended, features, kv, batch.images.shape[-2:])
        vectors = self.rules.describe(features, batch.valid)
        valid = batch.valid[:, 0]
        scored = self.learner.scored(self.learner.slices, ids, valid)
        return _Outputs(ids, pairs, vectors, kv, features.deepest.shape[-2:], probs, valid, scored)

    def score(self, outputs: _Outputs) -> _BatchResult:
        """Similarity, entropy and masks of a batch; also updates the examples of attention."""
        similarity = self._similarity(outputs)
        if outputs.probs is None:
            return _BatchResult(
                outputs.ids, similarity, np.full(len(outputs.ids), np.nan), np.zeros(outputs.valid.shape, np.uint8)
            )
        entropy = mean_over_valid(self.rules.entropy(outputs.probs), outputs.scored).double().cpu().numpy()
        masks = predicted_masks(outputs.probs, outputs.valid)
        if self.rules.aggregation == "attention":
            self._add_example(outputs, masks)
        return _BatchResult(outputs.ids, similarity, entropy, masks)

    def _similarity(self, outputs: _Outputs) -> Scores:
        """(b,) similarities, Eq. 4, averaged over the groups of a slice; -1 for slices without one."""
        if not outputs.pairs:
            return np.full(len(outputs.ids), -1.0)
        assert self.memory is not None
        device = outputs.vectors.device
        rows, sizes = np.array([(row, len(members)) for row, members in outputs.pairs]).T
        labeled = self.memory.vectors[to_device(np.concatenate([members for _, members in outputs.pairs]), device)]
        others = outputs.vectors[to_device(np.repeat(rows, sizes), device)]
        cosines = (labeled * others).sum(1)  # not a matrix product, whose rounding depends on the position in the batch
        means = np.add.reduceat(cosines.double().cpu().numpy(), np.cumsum(sizes) - sizes) / sizes
        count = np.bincount(rows, minlength=len(outputs.ids))
        return np.where(count > 0, np.bincount(rows, means, len(outputs.ids)) / np.maximum(count, 1), -1.0)

    def _probabilities(self, pairs: list[_Pair], features: Features, kv: KeyValues, size: torch.Size) -> Tensor:
        """(b, k, h, w) probabilities: the mean over the pairs of a slice; without any, from the slice alone."""
        count = np.bincount([row for row, _ in pairs], minlength=len(kv.keys))
        whole = self.network.prepare(features)  # skip connections, once for all groups
        total = features.deepest.new_zeros(len(count), self.network.outputs, *size, dtype=torch.float32)
        for some in _evenly(pairs, self.learner.inference_batch):
            rows, members = np.array([row for row, _ in some]), [members for _, members in some]
            taken = _rows(rows, total.device)
            assert self.memory is not None
            memory, valid = batch_memory(self.memory, members)
            read = aggregate(KeyValues(*(part[taken] for part in kv)), memory, valid, features.deepest.shape[-2:])
            total.index_add_(0, to_device(rows, total.device), self._decode(whole, taken, size, read))
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

    def _add_example(self, outputs: _Outputs, masks: NDArray[np.uint8]) -> None:
        """Offer the slice with the largest of (b, h, w) masks of each case, if it has any memory, as an example."""
        areas = np.count_nonzero(masks, (1, 2)) * [i in self.members for i in outputs.ids.tolist()]
        case = self.learner.slices.case[outputs.ids]
        for index in np.unique(case[areas > 0]).tolist():
            row = int(np.where(case == index, areas, 0).argmax())
            if self.examples.accepts(index, int(outputs.ids[row]), int(areas[row])):
                self.examples.add(index, self._attention(outputs, row, masks[row]))

    def _attention(self, outputs: _Outputs, row: int, mask: Mask) -> Attention:
        assert self.memory is not None
        members = self.members[int(outputs.ids[row])][0]
        kv, valid = batch_memory(self.memory, [members])
        weights = attention_map(outputs.kv.keys[[row]], kv.keys, valid)[0]  # (p, n p)
        foreground = to_device(mask > 0, weights.device).float()
        share = interpolate(foreground[None, None], outputs.size, mode="area").flatten()
        mean = (share @ weights / share.sum()).reshape(len(members), *outputs.size).cpu().numpy()
        return Attention(int(outputs.ids[row]), self.memory.ids[members], mean, int(np.count_nonzero(mask)))


def _rows(rows: Ids, device: torch.device) -> Tensor | slice:
    """An index of some elements of the first dimension: if they are consecutive, a slice, which copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    consecutive = last - first + 1 == len(rows) and (np.diff(rows) == 1).all()
    return slice(first, last + 1) if consecutive else to_device(rows, device)


def _evenly(pairs: list[T], size: int) -> Iterator[list[T]]:
    """Consecutive parts of nearly equal length, of about `size` and at most half as many more."""
    for part in np.array_split(np.arange(len(pairs)), max(1, round(len(pairs) / size))):
        if len(part):
            yield pairs[part[0] : part[-1] + 1]


class _AttentionExamples:
    """The attention of the slice with the largest predicted foreground of each case, for the cases with the largest.

    The slices of a case must be added in ascending order. Ties are broken by the lower id.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_case: dict[int, Attention] = {}

    def accepts(self, case: int, slice_id: int, area: int) -> bool:
        """Whether a slice with this predicted foreground would be an example."""
        current = self._by_case.get(case)
        if current is not None:
            return area > current.area
        larger = [other for other in self.attention if (-other.area, other.slice_id) < (-area, slice_id)]
        return len(larger) < self._size

    def add(self, case: int, attention: Attention) -> None:
        """Add an accepted slice; it replaces the previous one of its case, or the one with the smallest foreground."""
        self._by_case[case] = attention
        if len(self._by_case) > self._size:
            smallest = self.attention[-1]
            self._by_case = {index: other for index, other in self._by_case.items() if other is not smallest}

    @property
    def attention(self) -> list[Attention]:
        """The examples, in descending order of predicted foreground."""
        return sorted(self._by_case.values(), key=lambda example: (-example.area, example.slice_id))
