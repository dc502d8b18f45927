"""Propagation of labels through all groups of a pool (STAR, Secs. 2.1 and 2.2), without gradients.

The labeled slices of a few cases are remembered at a time, so that memory is bounded. The others go through the
network batch by batch, each encoded once, however many groups it lies in, and leave their mask and two numbers.
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

from albench.acquisition import Scores, binarize, mean_over_valid
from albench.masks import Ids, Mask, PackedMasks
from albench.strategies._star.memory import Describe, Memory, encode_memory, side_by_side
from albench.strategies._star.network import KeyValues, StarNetwork, aggregate, attention_map
from albench.training.device import to_device
from albench.training.learner import Images, Learner
from albench.training.networks import DecoderInputs, Features

T = TypeVar("T")

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
    describe: Describe
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
        attention: of the slice with the largest foreground of each case, a few of the largest.
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
        groups: of each case the ids in each of its groups.
        rules: how.
        shown: number of cases whose attention is kept.
    """
    case, known = learner.slices.case, np.array(sorted(memory), dtype=np.int64)
    similarity, entropy = np.empty((2, len(ids)))
    gallery = _Gallery(shown)

    def segment(cases: list[int]) -> Iterator[_Found]:
        own = ids[np.isin(case[ids], cases)]
        own_memory = {i: memory[i] for i in known[np.isin(case[known], cases)].tolist()}
        own_groups = [group for index in cases for group in groups[index]]
        return _propagate_block(network, learner, own, own_memory, own_groups, rules, gallery)

    def keep(found: _Found) -> tuple[Ids, NDArray[np.uint8]]:
        rows = np.searchsorted(ids, found.ids)
        similarity[rows], entropy[rows] = found.similarity, found.entropy
        return found.ids, found.masks

    labeled = np.bincount(case[known], minlength=len(groups))
    found = chain.from_iterable(map(segment, _blocks(labeled, _BATCHES * learner.inference_batch)))
    predicted = PackedMasks.collect(ids, learner.slices.shape[1:], map(keep, found))
    return Propagation(ids, similarity, entropy, predicted, gallery.attention)


_BATCHES = 4  # of labeled slices that are remembered at once, and the rest of a case


def _blocks(labeled: NDArray[np.int64], enough: int) -> Iterator[list[int]]:
    """Consecutive cases, together until they have `enough` labeled slices or are the last."""
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


class _Found(NamedTuple):
    """What is known about the slices of a batch, as in Propagation; the masks are (b, h, w)."""

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
    gallery: _Gallery,
) -> Iterator[_Found]:
    """Segment the slices of some cases, batch by batch. The memory is that of these cases."""
    attends = rules.aggregation == "attention"
    members = _members(groups, np.fromiter(memory, np.int64))
    remembered = encode_memory(network, learner, memory, rules.describe, with_masks=attends) if members else None
    block = _Block(network, learner, remembered, members, rules, gallery)
    return map(block.score, learner.stream(learner.slices, ids, block.forward))


def _members(groups: Sequence[Ids], labeled: Ids) -> dict[int, list[Ids]]:
    """{id: of each of its groups the rows of `labeled` that lie in it}, without the groups where nothing is labeled."""
    members: dict[int, list[Ids]] = {}
    for group in groups:
        rows = np.flatnonzero(np.isin(labeled, group))
        if len(rows):
            for i in group:
                members.setdefault(int(i), []).append(rows)
    return members


_Pair = tuple[int, Ids]


class _Seen(NamedTuple):
    """What the network makes of b slices.

    Attributes:
        ids: (b,)
        pairs: row in the batch and rows of the memory that it looks at, one pair for each group of each slice.
        vectors: (b, d) for similarities.
        kv: (b, p, .) keys and values.
        size: height and width of the bottleneck, with p positions.
        probs: (b, h, w) of foreground; None with aggregation `none`.
        valid: (b, h, w), 1 on pixels that count.
    """

    ids: Ids
    pairs: list[_Pair]
    vectors: Tensor
    kv: KeyValues
    size: torch.Size
    probs: Tensor | None
    valid: Tensor


@dataclass(frozen=True)
class _Block:
    """Cases whose labeled slices are remembered."""

    network: StarNetwork
    learner: Learner
    memory: Memory | None
    members: Mapping[int, Sequence[Ids]]
    rules: Rules
    gallery: _Gallery

    def forward(self, ids: Ids, batch: Images) -> _Seen:
        """Segment a batch by what its slices' groups remember."""
        features = self.network.encode(batch.images)
        kv = self.network.query_head(features.r4)  # Eq. 1, left
        pairs = [(row, members) for row, i in enumerate(ids.tolist()) for members in self.members.get(i, ())]
        probs = None
        if self.rules.aggregation != "none":
            heard = pairs if self.rules.aggregation == "attention" else []
            probs = self._probabilities(heard, features, kv, batch.images.shape[-2:])
        vectors = self.rules.describe(features, batch.valid)
        return _Seen(ids, pairs, vectors, kv, features.r4.shape[-2:], probs, batch.valid[:, 0])

    def score(self, seen: _Seen) -> _Found:
        """Similarity, entropy and masks of a batch; where it looked goes to the gallery."""
        similarity = self._similarity(seen)
        if seen.probs is None:
            return _Found(seen.ids, similarity, np.full(len(seen.ids), np.nan), np.zeros(seen.valid.shape, np.uint8))
        entropy = mean_over_valid(self.rules.entropy(seen.probs), seen.valid).double().cpu().numpy()
        masks = binarize(seen.probs, seen.valid)
        if self.rules.aggregation == "attention":
            self._show(seen, masks)
        return _Found(seen.ids, similarity, entropy, masks)

    def _similarity(self, seen: _Seen) -> Scores:
        """(b,) Eq. 4, averaged over the groups of a slice; -1 for slices in none."""
        if not seen.pairs:
            return np.full(len(seen.ids), -1.0)
        assert self.memory is not None
        device = seen.vectors.device
        rows, sizes = np.array([(row, len(members)) for row, members in seen.pairs]).T
        labeled = self.memory.vectors[to_device(np.concatenate([members for _, members in seen.pairs]), device)]
        others = seen.vectors[to_device(np.repeat(rows, sizes), device)]
        cosines = (labeled * others).sum(1)  # no matrix product, which rounds by where a slice comes
        means = np.add.reduceat(cosines.double().cpu().numpy(), np.cumsum(sizes) - sizes) / sizes
        count = np.bincount(rows, minlength=len(seen.ids))
        return np.where(count > 0, np.bincount(rows, means, len(seen.ids)) / np.maximum(count, 1), -1.0)

    def _probabilities(self, pairs: list[_Pair], features: Features, kv: KeyValues, size: torch.Size) -> Tensor:
        """(b, h, w) of foreground: the mean over a slice's pairs; of the slice alone if it has none."""
        count = np.bincount([row for row, _ in pairs], minlength=len(kv.keys))
        whole = self.network.prepare(features)  # what the decoder makes of r3 and r2, once for all groups
        total = features.r4.new_zeros(len(count), *size, dtype=torch.float32)
        for some in _evenly(pairs, self.learner.inference_batch):
            rows, members = np.array([row for row, _ in some]), [members for _, members in some]
            taken = _rows(rows, total.device)
            assert self.memory is not None
            memory, valid = side_by_side(self.memory, members)
            r4 = aggregate(KeyValues(*(part[taken] for part in kv)), memory, valid, features.r4.shape[-2:])
            total.index_add_(0, to_device(rows, total.device), self._decode(whole, taken, size, r4))
        alone = np.flatnonzero(count == 0)
        if len(alone):
            taken = _rows(alone, total.device)
            total[taken] = self._decode(whole, taken, size)
        return total / to_device(np.maximum(count, 1), total.device)[:, None, None]

    def _decode(
        self, whole: Features | DecoderInputs, rows: Tensor | slice, size: torch.Size, r4: Tensor | None = None
    ) -> Tensor:
        """(k, h, w) of foreground in some rows, with another r4 if there is one."""
        part = type(whole)(*(maps[rows] for maps in whole))
        logits = self.network.decode(part if r4 is None else part._replace(r4=r4), size)
        return torch.sigmoid(logits.float())[:, 0]

    def _show(self, seen: _Seen, masks: NDArray[np.uint8]) -> None:
        """Show where the slice of each case with the largest of (b, h, w) masks looked, if it looked at any."""
        areas = masks.sum((1, 2), dtype=np.int64) * [i in self.members for i in seen.ids.tolist()]
        case = self.learner.slices.case[seen.ids]
        for index in np.unique(case[areas > 0]).tolist():
            row = int(np.where(case == index, areas, 0).argmax())
            if self.gallery.wants(index, int(seen.ids[row]), int(areas[row])):
                self.gallery.show(index, self._attention(seen, row, masks[row]))

    def _attention(self, seen: _Seen, row: int, mask: Mask) -> Attention:
        assert self.memory is not None
        members = self.members[int(seen.ids[row])][0]
        kv, valid = side_by_side(self.memory, [members])
        weights = attention_map(seen.kv.keys[[row]], kv.keys, valid)[0]  # (p, n p)
        whole = to_device(mask, weights.device).float()
        share = interpolate(whole[None, None], seen.size, mode="area").flatten()
        looked = (share @ weights / share.sum()).reshape(len(members), *seen.size).cpu().numpy()
        return Attention(int(seen.ids[row]), self.memory.ids[members], looked, int(mask.sum()))


def _rows(rows: Ids, device: torch.device) -> Tensor | slice:
    """What takes some elements of the first dimension: a slice, which copies nothing, if they are consecutive."""
    first, last = int(rows[0]), int(rows[-1])
    consecutive = last - first + 1 == len(rows) and (np.diff(rows) == 1).all()
    return slice(first, last + 1) if consecutive else to_device(rows, device)


def _evenly(pairs: list[T], size: int) -> Iterator[list[T]]:
    """Consecutive parts, all of about `size` and none much smaller: up to half as large again."""
    for part in np.array_split(np.arange(len(pairs)), max(1, round(len(pairs) / size))):
        if len(part):
            yield pairs[part[0] : part[-1] + 1]


class _Gallery:
    """Of each case the slice with the largest foreground, of the few cases where that is largest.

    Slices of a case come in ascending order; among equals the first is shown.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_case: dict[int, Attention] = {}

    def wants(self, case: int, slice_id: int, area: int) -> bool:
        """Whether a slice with so much foreground would be shown."""
        shown = self._by_case.get(case)
        if shown is not None:
            return area > shown.area
        larger = [other for other in self.attention if (-other.area, other.slice_id) < (-area, slice_id)]
        return len(larger) < self._size

    def show(self, case: int, attention: Attention) -> None:
        """Show a slice that is wanted, in the place of the case's last one or of the smallest."""
        self._by_case[case] = attention
        if len(self._by_case) > self._size:
            last = self.attention[-1]
            self._by_case = {index: other for index, other in self._by_case.items() if other is not last}

    @property
    def attention(self) -> list[Attention]:
        """What is shown, largest first."""
        return sorted(self._by_case.values(), key=lambda shown: (-shown.area, shown.slice_id))
