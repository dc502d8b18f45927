"""Stratified: random slices, the same number from every case up to a difference of one.

The cases take turns in random order until the budget is spent. Cases without unlabeled slices are skipped.

When it fails: where cases differ much in size or difficulty, equal numbers give too little to the large or difficult
ones. With fewer slices than cases it equals a draw of random cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.strategy import Query, Round, Strategy, register


@register("stratified")
@dataclass(frozen=True)
class Stratified(Strategy):
    """Draws an equal number of random slices from every case."""

    kind = "baseline"

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """None: no image is read."""
        return 0.0

    def query(self, ctx: Round) -> Query:
        """Query random slices, with the cases in turn."""
        unlabeled = ctx.rng.permutation(ctx.pool.unlabeled)
        case = ctx.pool.slices.case[unlabeled]
        turn = np.empty(len(unlabeled), dtype=np.int64)
        for index in np.unique(case):
            turn[case == index] = np.arange(np.count_nonzero(case == index))
        return Query(unlabeled[np.lexsort((_shuffled(case, ctx.rng), turn))][: ctx.budget])


def _shuffled(case: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rank of each slice's case in a random order of the cases."""
    return rng.permutation(int(case.max()) + 1)[case]
