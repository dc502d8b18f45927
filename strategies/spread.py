"""Spread: the slices that another strategy wants most, at a minimum distance within each case.

Adjacent slices resemble each other, so a strategy that scores slices one by one queries runs of them. Here the ranking
of the inner strategy is walked down, and a slice is taken if all slices taken so far of its case are at least
`distance` away, in slices or, with `unit=mm`, in millimeters across the slices. The ranking begins with the query of
the inner strategy; the other slices follow by its scores, or in random order if it gives none.

If the ranking ends before the budget is spent, the distance is halved, and the ranking is walked down again, until all
slices are found. The record notes the distance that was kept (`spread_distance`), how many slices were taken at less
than the wanted one (`spread_closer`), and how many slices of the inner query were replaced (`spread_replaced`).

When it fails: where the budget of a round is large compared with the slices of the pool divided by the distance, it is
not kept. Queries of different rounds may be adjacent, unless `from_labeled` is set. A small object may lie in fewer
slices than the distance, of which only one is then taken per round.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from albench.strategies.entropy import Entropy
from albench.strategy import Ids, Query, Round, Strategy, register
from albench.wrapper import Wrapper, ask, requery

_ROUNDING = 1e-9  # of multiples of a spacing, relative to a distance


@register("spread")
@dataclass(frozen=True)
class Spread(Wrapper):
    """Keeps a distance between the slices of a query.

    Attributes:
        distance: between two queried slices of a case, at least; 2 slices means that they are not adjacent.
        unit: of the distance.
        from_labeled: keep the distance from slices that are labeled already, too.
    """

    inner: Strategy = field(default_factory=Entropy)
    distance: Annotated[float, Field(ge=0, le=1e6)] = 3.0
    unit: Literal["slices", "mm"] = "slices"
    from_labeled: bool = False

    def query(self, ctx: Round) -> Query:
        """Query the most wanted slices that keep the distance."""
        query, slices = ask(self.inner, ctx), ctx.pool.slices
        places = slices.position.astype(np.float64)
        if self.unit == "mm":
            places *= slices.spacing[slices.case, 0]
        taken = ctx.pool.labeled if self.from_labeled else ctx.pool.labeled[:0]
        ids, kept, closer = select(_ranking(query, ctx), slices.case, places, ctx.budget, self.distance, taken)
        replaced = len(np.setdiff1d(query.ids, ids))
        return requery(query, ids, spread_distance=kept, spread_closer=closer, spread_replaced=replaced)


def select(
    ranking: Ids, case: NDArray[np.int64], places: NDArray[np.float64], count: int, distance: float, taken: Ids
) -> tuple[Ids, float, int]:
    """Select slices greedily down a ranking at a distance, which is halved until all are found.

    Args:
        ranking: at least `count` ids, the most wanted first.
        case: (n,) case of every slice.
        places: (n,) position of every slice within its case.
        count: how many to select.
        distance: between selected slices of a case.
        taken: ids from which the distance is kept, too.

    Returns:
        (count,) ids in the order of selection; the distance that they keep; how many keep no more than that.
    """
    occupied: defaultdict[int, list[float]] = defaultdict(list)
    for i in taken.tolist():
        occupied[int(case[i])].append(float(places[i]))
    chosen: dict[int, None] = {}
    wanted, first = distance, count
    while len(chosen) < count:
        for i in ranking.tolist():
            near = occupied[int(case[i])]
            if i in chosen or any(abs(places[i] - other) < distance * (1 - _ROUNDING) for other in near):
                continue
            chosen[i] = None
            near.append(float(places[i]))
            if len(chosen) == count:
                break
        else:
            first = min(first, len(chosen))
            distance /= 2
    return np.array(list(chosen), dtype=np.int64), distance, count - first if distance < wanted else 0


def _ranking(query: Query, ctx: Round) -> Ids:
    """All unlabeled ids: those of a query in its order, then the others, the most wanted first."""
    unlabeled = ctx.pool.unlabeled
    rest = ~np.isin(unlabeled, query.ids)
    if query.scores is None:
        others = ctx.rng.permutation(unlabeled[rest])
    else:
        others = unlabeled[rest][np.argsort(-query.wanted()[rest], kind="stable")]
    return np.concatenate([query.ids, others])
