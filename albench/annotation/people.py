"""People as the oracle of a run: a query is answered by what they have drawn, and waits until they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from albench.data import LabeledStack, SliceStack
from albench.errors import StrategyError
from albench.masks import UNKNOWN, Ids, Mask, PackedMasks
from albench.oracle import Oracle
from albench.resolve import ResolvedRun

Answer = Mapping[int, Mask]
"""{id: (h, w) mask} that was drawn for a query, padding included; also of slices that were not asked for."""


class People(Oracle):
    """Annotates with what people have drawn.

    Args:
        slices: of the pool; all of them can be queried.
        answers: to the queries so far, that to the initial slices first; later queries wait.
        charged: as in `Oracle`.
    """

    def __init__(self, slices: SliceStack, answers: Sequence[Answer], charged: LabeledStack | None = None) -> None:
        super().__init__(slices, charged)
        self._answers = tuple(answers)

    @property
    def waiting(self) -> bool:
        """Whether nobody has answered the last query."""
        return len(self.queries) > len(self._answers)

    @property
    def kept(self) -> Answer | None:
        """The last answer."""
        return self._answers[-1]

    def _drawn(self, ids: Ids) -> Answer:
        if self.waiting:
            return {}
        answer = self._answers[len(self.queries) - 1]
        first = [i for i in ids.tolist() if i in answer]  # costs are summed in this order, as of a set of masks
        return {i: answer[i] for i in [*first, *sorted(answer.keys() - set(first))]}

    def _truth_of(self, slice_id: int) -> Mask | None:
        return None

    def _nonempty(self, ids: Ids) -> NDArray[np.bool_]:
        raise StrategyError(
            "a strategy that draws by the truth of unlabeled slices needs a set of masks, people have not drawn them "
            "yet: choose another strategy"
        )


@dataclass(frozen=True)
class PeopleRun(ResolvedRun):
    """A run whose training slices people draw.

    Attributes:
        answers: as in `People`.
        first: ids of the slices that are labeled before round 0; None chooses them by `protocol.start`.
    """

    answers: tuple[Answer, ...] = ()
    first: tuple[int, ...] | None = None

    def pool(self) -> SliceStack:
        """The training slices, all of which can be queried; labels are unknown where people left a part of one out."""
        slices = replace(self.prepared.stack(self.split.train), known=None)
        partly = [i for answer in self.answers for i, mask in answer.items() if _has_unknown(slices, i, mask)]
        if not partly:
            return slices
        drawn = {i: mask for answer in self.answers for i, mask in answer.items()}
        known = ((np.array([i]), _known(slices, i, drawn.get(i))[None]) for i in range(len(slices)))
        return replace(slices, known=PackedMasks.collect(np.arange(len(slices)), slices.shape[1:], known, 1))

    def oracle(self, charged: LabeledStack | None = None) -> Oracle:
        """People."""
        return People(self.pool(), self.answers, charged)

    def initial(self, slices: SliceStack) -> Ids:
        """Ids of the slices of the pool that are labeled before round 0."""
        return super().initial(slices) if self.first is None else np.array(self.first, dtype=np.int64)

    @cached_property
    def given(self) -> Answer:
        """The masks of training slices that the data hold, of which any label is known."""
        train = self.prepared.labeled_stack(self.split.train)
        ids = np.flatnonzero(train.slices.annotatable)
        return dict(zip(ids.tolist(), train.masks(ids), strict=True))


def _has_unknown(slices: SliceStack, slice_id: int, mask: Mask) -> bool:
    height, width = slices.valid[slice_id]
    return bool((mask[:height, :width] == UNKNOWN).any())


def _known(slices: SliceStack, slice_id: int, mask: Mask | None) -> Mask:
    """(h, w) 1 where the label of a slice is known, or will be when it is drawn."""
    known = np.zeros(slices.shape[1:], dtype=np.uint8)
    height, width = slices.valid[slice_id]
    known[:height, :width] = 1 if mask is None else mask[:height, :width] != UNKNOWN
    return known
