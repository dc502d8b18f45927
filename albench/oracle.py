"""The oracle: it annotates the slices that are queried, and charges the budget.

Of a run it holds the truth of the pool (`MaskOracle`); in a project, people draw (`albench.annotation`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from albench.annotator import Annotator
from albench.data import LabeledStack, SliceStack
from albench.errors import StrategyError
from albench.masks import Ids, Mask, foreground
from albench.metrics import slice_dice
from albench.pool import Pool
from albench.query import OracleDraw, Query, check_draw
from albench.runs.annotation_cost import MaskCost, mask_cost, total_cost
from albench.runs.records import AnnotationCost, MaskQuality


class Oracle(ABC):
    """Annotates the slices that are queried. The only place that charges the budget.

    Args:
        slices: of the pool.
        charged: further labels that the annotation cost contains, such as those of the validation cases.

    Attributes:
        slices: of the pool.
        queries: ids of every query so far, the initial slices first.
    """

    def __init__(self, slices: SliceStack, charged: LabeledStack | None = None) -> None:
        self.slices = slices
        self._charged = _labels(charged) if charged else []
        self.queries: list[tuple[int, ...]] = []
        self._costs: dict[int, MaskCost] = {}

    @abstractmethod
    def _drawn(self, ids: Ids) -> Mapping[int, Mask]:
        """{id: (h, w) mask} that answers the last query, of the (n,) given slices; empty if it is not answered yet."""

    @abstractmethod
    def _truth_of(self, slice_id: int) -> Mask | None:
        """The (h, w) mask by which others are judged; None if nobody knows it."""

    @abstractmethod
    def _nonempty(self, ids: Ids) -> NDArray[np.bool_]:
        """(n,) whether slices have foreground in the truth. Raises StrategyError if nobody knows that."""

    @property
    def waiting(self) -> bool:
        """Whether the last query is not answered yet, so that no round can begin."""
        return False

    @property
    def kept(self) -> Mapping[int, Mask] | None:
        """{id: (h, w) mask} of the last answer, to be kept with its round; None if the data hold the masks."""
        return None

    def annotate(self, ids: Sequence[int] | Ids, budget: int) -> dict[int, Mask]:
        """The (h, w) masks that answer one query of at most `budget` slices, `ids`, as far as they are drawn.

        Raises:
            StrategyError: an id does not exist, is repeated, was annotated before or cannot be, or there are too many.
        """
        wanted = [int(i) for i in ids]
        if len(wanted) > budget:
            raise StrategyError(f"a query must have at most {budget} slices, got {len(wanted)}: return fewer ids")
        annotated = self._costs.keys()  # of an earlier query, people may have left some out
        total, annotatable = len(self.slices), self.slices.annotatable
        for position, slice_id in enumerate(wanted):
            if not 0 <= slice_id < total:
                raise StrategyError(f"a query must name slices of the pool, 0 to {total - 1}, got {slice_id}")
            if slice_id in wanted[:position]:
                raise StrategyError(f"a query must name each slice once, {self.slices.label(slice_id)} is repeated")
            if slice_id in annotated:
                raise StrategyError(
                    f"a query must name unlabeled slices, {self.slices.label(slice_id)} is labeled already: "
                    "choose from pool.unlabeled"
                )
            if not annotatable[slice_id]:
                raise StrategyError(
                    f"a query must name slices with a known label, {self.slices.label(slice_id)} has none: "
                    "choose from pool.unlabeled"
                )
        self.queries.append(tuple(wanted))
        masks = dict(self._drawn(np.array(wanted, dtype=np.int64)))
        for mask in masks.values():
            mask.flags.writeable = False
        self._costs |= {i: mask_cost(mask) for i, mask in masks.items()}
        return masks

    def answer(self, asked: Query | OracleDraw, pool: Pool, budget: int, *, uses_labels: bool) -> Query:
        """What a strategy asked, completed by the truth if it is a draw.

        Args:
            asked: by the strategy.
            pool: that it was given.
            budget: likewise.
            uses_labels: whether the strategy says that the truth decides its query.

        Raises:
            StrategyError: a draw breaks a rule.
        """
        if not isinstance(asked, OracleDraw):
            return asked
        if not uses_labels:
            raise StrategyError(
                "only a strategy that says so may have the oracle look at labels, this one does not: set uses_labels = "
                "True, or return a Query"
            )
        check_draw(asked, pool, budget)
        return self.draw(asked, budget)

    def draw(self, wanted: OracleDraw, budget: int) -> Query:
        """The slices of a query that depends on which slices have foreground in the truth.

        How many were drawn for their foreground is noted: fewer than wanted, where too few are left.
        """
        first = wanted.order[self._nonempty(wanted.order)][: wanted.foreground]
        others = wanted.rest[~np.isin(wanted.rest, first)][: budget - len(first)]
        return Query(np.concatenate([first, others]), notes={"drawn_with_foreground": len(first)})

    def check_foreground(self, unlabeled: Ids, wanted: int) -> None:
        """Check that enough unlabeled slices have foreground for all queries of a run together.

        Raises:
            StrategyError: they do not.
        """
        found = int(self._nonempty(unlabeled).sum())
        if found < wanted:
            raise StrategyError(
                f"queries must not ask for more slices with foreground than exist, {wanted} are wanted in all rounds "
                f"together and {found} of the {len(unlabeled)} unlabeled slices have some: lower strategy.share, "
                "protocol.budget or protocol.rounds"
            )

    def annotation_cost(self) -> AnnotationCost:
        """What all labels so far cost an annotator; no strategy sees it."""
        case = self.slices.case
        labels = [*self._charged, *((("pool", int(case[i])), cost) for i, cost in self._costs.items())]
        return total_cost([cost for _, cost in labels], [place for place, _ in labels])

    def evaluate_masks(self, masks: Mapping[int, Mask]) -> MaskQuality:
        """How good masks of unlabeled slices are, whatever their order: a diagnostic that no strategy sees."""
        scores, filled, shares, empty = [], [], [], []
        for slice_id in sorted(masks):  # a continued run has stored ones, and a sum depends on the order
            mask, truth = masks[slice_id], self._truth_of(slice_id)
            height, width = self.slices.valid[slice_id]
            if truth is not None:
                scores.append(slice_dice(mask, truth, len(self.slices.classes)))
                filled.append(bool(foreground(truth).any()))
            inside = mask[:height, :width] > 0
            shares.append(float(inside.mean()))
            empty.append(not inside.any())
        return MaskQuality(
            count=len(masks),
            empty_share=_mean(empty),
            foreground_share=_mean(shares),
            dice=_mean(scores),
            dice_foreground=_mean([score for score, real in zip(scores, filled, strict=True) if real]),
        )


class MaskOracle(Oracle):
    """Holds the truth of the pool, and annotates at once.

    Args:
        truth: of the pool.
        annotator: who draws the masks; None draws the truth.
        charged: as in `Oracle`.
    """

    def __init__(
        self, truth: LabeledStack, annotator: Annotator | None = None, charged: LabeledStack | None = None
    ) -> None:
        super().__init__(truth.slices, charged)
        self._truth = truth
        self._draw = annotator.draw if annotator else LabeledStack.masks

    def _drawn(self, ids: Ids) -> Mapping[int, Mask]:
        return dict(zip(ids.tolist(), self._draw(self._truth, ids), strict=True))

    def _truth_of(self, slice_id: int) -> Mask | None:
        return self._truth.truth[slice_id] if self.slices.annotatable[slice_id] else None

    def _nonempty(self, ids: Ids) -> NDArray[np.bool_]:
        return self._truth.truth.nonempty(ids)


def _labels(labeled: LabeledStack) -> list[tuple[tuple[str, int], MaskCost]]:
    """The case and the cost of every mask of which a label is known."""
    slices = labeled.slices
    drawn = np.flatnonzero(slices.annotatable).tolist()
    return [(("charged", int(slices.case[i])), mask_cost(labeled.truth[i])) for i in drawn]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
