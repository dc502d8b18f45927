"""The query that a strategy returns, and the check that it follows the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from albench.acquisition import Scores, top_k
from albench.errors import StrategyError
from albench.masks import Ids, Mask
from albench.pool import Pool


class QueryContext(Protocol):
    """The part of a round that `Query.highest` and `Query.lowest` read; `albench.strategy.Round` has it."""

    @property
    def pool(self) -> Pool:
        """All training slices."""

    @property
    def budget(self) -> int:
        """How many slices to query."""


@dataclass(frozen=True)
class Query:
    """The slices that a strategy selects for labeling, with optional pseudo-labels and diagnostics.

    Attributes:
        ids: exactly `budget` distinct unlabeled ids, in descending priority.
        pseudo: {unlabeled id: (h, w) uint8 mask of 0 to K}, pseudo-labels of the next round; they replace the previous
            ones.
        scores: one finite score per unlabeled slice, in the order of `pool.unlabeled`; None without scores.
        notes: {name: number or list of numbers}, stored in the round's record.
        predictions: {name: {unlabeled id: (h, w) mask}}. The loop records their Dice against the hidden truth, which no
            strategy sees. They are not trained on.
        arrays: {name: array}, stored with the round, for figures.
        lowest_first: whether slices with low scores are wanted, not those with high ones.
    """

    ids: Ids
    pseudo: Mapping[int, Mask] = field(default_factory=dict)
    scores: Scores | None = None
    notes: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[int, Mask]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    lowest_first: bool = False

    def wanted(self) -> Scores:
        """The scores, with another sign if low ones are wanted. Raises StrategyError without scores."""
        if self.scores is None:
            raise StrategyError("a query must have scores to rank slices, this one has none: give Query its scores")
        return -self.scores if self.lowest_first else self.scores

    @classmethod
    def empty(cls) -> Query:
        """A query of no slices, as in the last round."""
        return cls(np.array([], dtype=np.int64))

    @classmethod
    def highest(cls, scores: Scores, ctx: QueryContext) -> Query:
        """Query the slices with the highest scores; ties are broken by the lower id."""
        check_scores(scores, ctx.pool)
        return cls(top_k(scores, ctx.pool.unlabeled, ctx.budget), scores=scores)

    @classmethod
    def lowest(cls, scores: Scores, ctx: QueryContext) -> Query:
        """Query the slices with the lowest scores; ties are broken by the lower id."""
        check_scores(scores, ctx.pool)
        return cls(top_k(-scores, ctx.pool.unlabeled, ctx.budget), scores=scores, lowest_first=True)


@dataclass(frozen=True)
class OracleDraw:
    """A query that the oracle completes by the truth, so that no strategy sees it. It is marked `uses_labels`.

    Attributes:
        foreground: how many slices are the first of `order` that have foreground in the truth, if so many are left.
        order: all unlabeled ids in the order in which they are tried for foreground.
        rest: all unlabeled ids in the order in which they complete the budget, whatever they contain. It must not
            depend on `order`, whose first slices are the empty ones that were passed over.
    """

    foreground: int
    order: Ids
    rest: Ids


def check_draw(draw: OracleDraw, pool: Pool, budget: int) -> None:
    """Check that a draw follows the rules. Raises StrategyError."""
    for name, ids in (("order", np.asarray(draw.order)), ("rest", np.asarray(draw.rest))):
        if ids.ndim != 1 or not np.array_equal(np.sort(ids), pool.unlabeled):
            raise StrategyError(
                f"'{name}' of a draw must hold every one of the {len(pool.unlabeled)} unlabeled slices once, got "
                f"{ids.size} ids: permute pool.unlabeled"
            )
    if not 0 <= draw.foreground <= budget:
        raise StrategyError(
            f"a draw must want 0 to {budget} slices with foreground, got {draw.foreground}: want at most the budget"
        )


def check_query(query: Query, pool: Pool, budget: int) -> None:
    """Check that a query follows the rules.

    Raises:
        StrategyError: names the violated rule and, where possible, the slice.
    """
    if not isinstance(query, Query):
        raise StrategyError(f"query() must return a Query, got {type(query).__name__}: end it with `return Query(ids)`")
    ids = np.asarray(query.ids)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise StrategyError(f"a query must be a list of integers, got {ids.dtype} of shape {ids.shape}")
    if len(ids) != budget:
        raise StrategyError(f"a query must have exactly {budget} slices, got {len(ids)}: return `budget` ids")
    labeled = set(pool.labeled.tolist())
    _check_ids(ids.tolist(), labeled, "a query", pool)
    undrawn = np.intersect1d(ids, pool.undrawn)
    if len(undrawn):
        raise StrategyError(
            f"a query must name slices with a known label, {pool.slices.label(int(undrawn[0]))} has none: choose from "
            "pool.unlabeled"
        )
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = int(values[counts > 1][0])
        raise StrategyError(f"a query must name each slice once, {pool.slices.label(twice)} is repeated")
    if query.scores is not None:
        check_scores(query.scores, pool)
    _check_masks(query.pseudo, labeled, "pseudo-labels", pool)
    for masks in query.predictions.values():
        _check_masks(masks, labeled, "predictions", pool)
    for name, value in query.notes.items():
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "biuf" or numbers.ndim > 1 or not np.isfinite(numbers).all():
            raise StrategyError(f"notes must be finite numbers or lists of them, '{name}' is {value}: leave it out")


def check_scores(scores: Scores, pool: Pool) -> None:
    """Check that there is one finite score per unlabeled slice. Raises StrategyError otherwise."""
    unlabeled = pool.unlabeled
    if not isinstance(scores, np.ndarray):
        raise StrategyError(f"scores must be a NumPy array, got {type(scores).__name__}: use np.asarray")
    if scores.shape != unlabeled.shape:
        raise StrategyError(f"scores must be one per unlabeled slice, {unlabeled.shape}, got {scores.shape}")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise StrategyError(f"scores must be finite, {pool.slices.label(unlabeled[bad[0]])} got {scores[bad[0]]}")


def _check_ids(ids: list[int], labeled: set[int], what: str, pool: Pool) -> None:
    for slice_id in ids:
        if not isinstance(slice_id, int | np.integer):
            raise StrategyError(f"{what} must name slices by integers, got {slice_id!r}")
        if not 0 <= slice_id < len(pool.slices):
            raise StrategyError(f"{what} must name slices of the pool, 0 to {len(pool.slices) - 1}, got {slice_id}")
        if slice_id in labeled:
            raise StrategyError(f"{what} must name unlabeled slices, {pool.slices.label(slice_id)} is labeled already")


def _check_masks(masks: Mapping[int, Mask], labeled: set[int], what: str, pool: Pool) -> None:
    _check_ids(list(masks), labeled, what, pool)
    shape, highest = pool.slices.shape[1:], len(pool.slices.classes)
    for slice_id, mask in masks.items():
        if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.uint8 or mask.max() > highest:
            found = f"{mask.dtype} {mask.shape} up to {mask.max()}" if isinstance(mask, np.ndarray) else f"{type(mask)}"
            raise StrategyError(
                f"{what} must be uint8 masks of 0 to {highest} of shape {shape}, got {found} for "
                f"{pool.slices.label(slice_id)}"
            )
