"""Stratified: a random choice in which every case gets the same number of slices, give or take one.

The cases take turns, in random order, until the budget is spent; one that has no unlabeled slice left is passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.strategy import Query, Round, Strategy, register


@register("stratified")
@dataclass(frozen=True)
class Stratified(Strategy):
    """Random, with an equal share for every case."""

    kind = "baseline"

    def query(self, ctx: Round) -> Query:
        """Draw slices case by case."""
        unlabeled = ctx.rng.permutation(ctx.pool.unlabeled)
        case = ctx.pool.slices.case[unlabeled]
        turn = np.empty(len(unlabeled), dtype=np.int64)
        for index in np.unique(case):
            turn[case == index] = np.arange(np.count_nonzero(case == index))
        return Query(unlabeled[np.lexsort((_shuffled(case, ctx.rng), turn))][: ctx.budget])


def _shuffled(case: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The cases' places in a random order."""
    return rng.permutation(int(case.max()) + 1)[case]
