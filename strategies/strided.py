"""Strided: the middle slices of the widest gaps between labeled slices, regardless of the images.

A gap is a run of consecutive unlabeled slices of one case. The widest gap is bisected, then the widest of the resulting
gaps, and so on; ties are broken at random. A strategy that is not better than this baseline gains nothing from the
images.

When it fails: it spends as many labels on slices without foreground as on others, and after a few rounds the gaps are
so small that its queries repeat what neighbors have shown. It needs volumes of several slices.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from albench.strategy import Ids, Pool, Query, Round, Strategy, check_neighbors, register


@register("strided")
@dataclass(frozen=True)
class Strided(Strategy):
    """Bisects the widest gaps between labeled slices."""

    kind = "baseline"

    def check(self, pool: Pool) -> None:
        """Reject volumes of one slice, which have no gaps between slices."""
        check_neighbors(pool)

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """None: no image is read."""
        return 0.0

    def query(self, ctx: Round) -> Query:
        """Query the middle slices of the widest gaps."""
        slices, labeled = ctx.pool.slices, ctx.pool.labeled
        gaps: list[tuple[int, int]] = []
        for case in range(len(slices.cases)):
            ids = slices.of(case)
            known = ids[np.isin(ids, labeled)]
            gaps += _gaps(known, int(ids[0]), int(ids[-1]))
        return Query(bisect(gaps, ctx.pool.unlabeled, ctx.budget, ctx.rng))


def bisect(gaps: list[tuple[int, int]], candidates: Ids, count: int, rng: np.random.Generator) -> Ids:
    """Select `count` ids by repeatedly bisecting the widest gap.

    Args:
        gaps: first and last id of each run of slices without a label.
        candidates: ids that can be selected, ascending; of a gap the one nearest to its middle is.
        count: at most the number of candidates in all gaps.
        rng: breaks ties between equally wide gaps.

    Returns:
        (count,) ids in the order of selection.
    """
    heap = [(first - last, rng.random(), first, last) for first, last in gaps]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < count:
        _, _, first, last = heapq.heappop(heap)
        inside = candidates[np.searchsorted(candidates, first) : np.searchsorted(candidates, last, "right")]
        if not len(inside):
            continue
        middle = int(inside[np.abs(inside - (first + last) // 2).argmin()])
        chosen.append(middle)
        for low, high in ((first, middle - 1), (middle + 1, last)):
            if low <= high:
                heapq.heappush(heap, (low - high, rng.random(), low, high))
    return np.array(chosen, dtype=np.int64)


def _gaps(labeled: Ids, first: int, last: int) -> list[tuple[int, int]]:
    """First and last ids of the runs of slices without a label in [first, last]."""
    edges = [first - 1, *labeled.tolist(), last + 1]
    return [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
