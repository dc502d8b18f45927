"""What a strategy answers, and the rules of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from albench.acquisition import Scores, top_k
from albench.errors import StrategyError
from albench.masks import Ids, Mask
from albench.pool import Pool

if TYPE_CHECKING:
    from albench.strategy import Round


@dataclass(frozen=True)
class Query:
    """What a strategy answers.

    Attributes:
        ids: exactly `budget` distinct unlabeled ids, most wanted first.
        pseudo: {unlabeled id: (h, w) mask of 0 and 1} to train on in the next round, instead of the last ones.
        scores: one finite score per unlabeled slice, in the order of `pool.unlabeled`; None without scores.
        notes: {name: number or list of numbers} to keep in the round's record.
        predictions: {name: {unlabeled id: (h, w) mask}}, whose Dice against the hidden truth the loop records. Nobody
            trains on them and no strategy sees the result.
        arrays: {name: array} to keep with the round, for figures.
    """

    ids: Ids
    pseudo: Mapping[int, Mask] = field(default_factory=dict)
    scores: Scores | None = None
    notes: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[int, Mask]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    @classmethod
    def nothing(cls) -> Query:
        """The answer of the last round, when nothing is bought any more."""
        return cls(np.array([], dtype=np.int64))

    @classmethod
    def highest(cls, scores: Scores, ctx: Round) -> Query:
        """Ask for the slices with the highest scores; among equals the lower id comes first."""
        check_scores(scores, ctx.pool)
        return cls(top_k(scores, ctx.pool.unlabeled, ctx.budget), scores=scores)

    @classmethod
    def lowest(cls, scores: Scores, ctx: Round) -> Query:
        """Ask for the slices with the lowest scores; among equals the lower id comes first."""
        check_scores(scores, ctx.pool)
        return cls(top_k(-scores, ctx.pool.unlabeled, ctx.budget), scores=scores)


def check_query(query: Query, pool: Pool, budget: int) -> None:
    """Refuse an answer that breaks the rules.

    Raises:
        StrategyError: which rule, and with which slice.
    """
    if not isinstance(query, Query):
        raise StrategyError(f"query() must return a Query, got {type(query).__name__}: end it with `return Query(ids)`")
    ids = np.asarray(query.ids)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise StrategyError(f"a query must have a list of whole numbers, got {ids.dtype} of shape {ids.shape}")
    if len(ids) != budget:
        raise StrategyError(f"a query must have exactly {budget} slices, got {len(ids)}: return `budget` ids")
    unlabeled = set(pool.unlabeled.tolist())
    _check_ids(ids.tolist(), unlabeled, "a query", pool)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = int(values[counts > 1][0])
        raise StrategyError(f"a query must name each slice once, {pool.slices.label(twice)} is there twice")
    if query.scores is not None:
        check_scores(query.scores, pool)
    _check_masks(query.pseudo, unlabeled, "pseudo-labels", pool)
    for masks in query.predictions.values():
        _check_masks(masks, unlabeled, "predictions", pool)
    for name, value in query.notes.items():
        if np.asarray(value).dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise StrategyError(f"notes must be finite numbers, '{name}' is {value}: leave it out")


def check_scores(scores: Scores, pool: Pool) -> None:
    """Refuse scores that are not one finite number per unlabeled slice. Raises StrategyError."""
    unlabeled = pool.unlabeled
    if not isinstance(scores, np.ndarray):
        raise StrategyError(f"scores must be a NumPy array, got {type(scores).__name__}: use np.asarray")
    if scores.shape != unlabeled.shape:
        raise StrategyError(f"scores must be one per unlabeled slice, {unlabeled.shape}, got {scores.shape}")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise StrategyError(f"scores must be finite, {pool.slices.label(unlabeled[bad[0]])} got {scores[bad[0]]}")


def _check_ids(ids: list[int], unlabeled: set[int], what: str, pool: Pool) -> None:
    for slice_id in ids:
        if not isinstance(slice_id, int | np.integer):
            raise StrategyError(f"{what} must name slices by whole numbers, got {slice_id!r}")
        if not 0 <= slice_id < len(pool.slices):
            raise StrategyError(f"{what} must name slices of the pool, 0 to {len(pool.slices) - 1}, got {slice_id}")
        if slice_id not in unlabeled:
            raise StrategyError(f"{what} must name unlabeled slices, {pool.slices.label(slice_id)} was bought before")


def _check_masks(masks: Mapping[int, Mask], unlabeled: set[int], what: str, pool: Pool) -> None:
    _check_ids(list(masks), unlabeled, what, pool)
    shape = pool.slices.shape[1:]
    for slice_id, mask in masks.items():
        if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.uint8 or mask.max() > 1:
            found = f"{mask.dtype} {mask.shape} up to {mask.max()}" if isinstance(mask, np.ndarray) else f"{type(mask)}"
            raise StrategyError(
                f"{what} must be uint8 masks of 0 and 1 of shape {shape}, got {found} for {pool.slices.label(slice_id)}"
            )
