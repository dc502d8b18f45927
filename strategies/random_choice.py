"""Random: slices drawn uniformly from the unlabeled ones. The passive baseline of active learning.

When it fails: rare objects are missed in proportion to their rarity, and empty slices are queried as often as they
occur.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.strategy import Query, Round, Strategy, register


@register("random")
@dataclass(frozen=True)
class Random(Strategy):
    """Draws slices uniformly without replacement."""

    kind = "baseline"

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """None: no image is read."""
        return 0.0

    def query(self, ctx: Round) -> Query:
        """Query slices drawn from the random stream of the round."""
        return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
