"""Strided: label in the middle of the widest gap between labeled slices, without looking at the images.

A gap is a run of unlabeled slices of one case, between labeled ones or at its end. The widest gap is halved, then
the widest of what is left, and so on; among equally wide gaps the order is random. A strategy that cannot beat this
one has learned nothing from the images.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from albench.strategy import Ids, Query, Round, Strategy, register


@register("strided")
@dataclass(frozen=True)
class Strided(Strategy):
    """Bisection of the widest gap."""

    kind = "baseline"

    def query(self, ctx: Round) -> Query:
        """Halve the widest gaps."""
        slices, labeled = ctx.pool.slices, ctx.pool.labeled
        gaps: list[tuple[int, int]] = []
        for case in range(len(slices.cases)):
            ids = slices.of(case)
            known = ids[np.isin(ids, labeled)]
            gaps += _gaps(known, int(ids[0]), int(ids[-1]))
        return Query(bisect(gaps, ctx.budget, ctx.rng))


def bisect(gaps: list[tuple[int, int]], count: int, rng: np.random.Generator) -> Ids:
    """Choose `count` ids by halving the widest gap again and again.

    Args:
        gaps: first and last id of each run of unlabeled slices.
        count: at most the number of slices in all gaps.
        rng: decides among equally wide gaps.

    Returns:
        The ids in the order of choice.
    """
    heap = [(first - last, rng.random(), first, last) for first, last in gaps]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < count:
        _, _, first, last = heapq.heappop(heap)
        middle = (first + last) // 2
        chosen.append(middle)
        for low, high in ((first, middle - 1), (middle + 1, last)):
            if low <= high:
                heapq.heappush(heap, (low - high, rng.random(), low, high))
    return np.array(chosen, dtype=np.int64)


def _gaps(labeled: Ids, first: int, last: int) -> list[tuple[int, int]]:
    """Runs of ids in [first, last] without a labeled one."""
    edges = [first - 1, *labeled.tolist(), last + 1]
    return [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
