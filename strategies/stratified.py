"""Stratified: a random choice in which every subject gets the same number of slices, give or take one.

The subjects take turns, in random order, until the budget is spent; one that has no unlabeled slice left is passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.strategy import Query, Round, Strategy, register


@register("stratified")
@dataclass(frozen=True)
class Stratified(Strategy):
    """Random, with an equal share for every subject."""

    kind = "baseline"

    def query(self, ctx: Round) -> Query:
        """Draw slices subject by subject."""
        unlabeled = ctx.rng.permutation(ctx.pool.unlabeled)
        subject = ctx.pool.slices.subject[unlabeled]
        turn = np.empty(len(unlabeled), dtype=np.int64)
        for index in np.unique(subject):
            turn[subject == index] = np.arange(np.count_nonzero(subject == index))
        return Query(unlabeled[np.lexsort((_shuffled(subject, ctx.rng), turn))][: ctx.budget])


def _shuffled(subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The subjects' places in a random order."""
    return rng.permutation(int(subject.max()) + 1)[subject]
