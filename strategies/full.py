"""Full: every slice is labeled before round 0. The fully supervised reference of the other strategies.

There is a single training, like that of the other strategies in round 0, and no query.

When it fails: it is a reference and no method to use. Its one training may stop before all slices are learned; more
steps can make it better (`protocol.compute=matched`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.strategy import Ids, Pool, Query, Round, Strategy, register


@register("full")
@dataclass(frozen=True)
class Full(Strategy):
    """Labels all slices before round 0."""

    kind = "baseline"

    def initial(self, initial: Ids, pool: Pool) -> Ids:
        """Every slice of the pool that can be labeled."""
        return np.flatnonzero(pool.slices.annotatable)

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """None: nothing is queried."""
        return 0.0

    def query(self, ctx: Round) -> Query:
        """Query random slices. Never called in a run, as no slice is unlabeled."""
        return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
