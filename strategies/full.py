"""Full: every slice is labeled before round 0. The supervised reference that the others try to reach with less.

There is one training, as in round 0 of the other strategies, and nothing left to ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.strategy import Ids, Pool, Query, Round, Strategy, register


@register("full")
@dataclass(frozen=True)
class Full(Strategy):
    """All labels at once."""

    kind = "baseline"

    def initial(self, anchors: Ids, pool: Pool) -> Ids:
        """Every slice of the pool."""
        return np.arange(len(pool.slices))

    def query(self, ctx: Round) -> Query:
        """A random choice; a run never asks, since nothing is left to buy."""
        return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
