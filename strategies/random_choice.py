"""Random: every unlabeled slice is as likely as any other. The passive baseline that a strategy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from albench.strategy import Query, Round, Strategy, register


@register("random")
@dataclass(frozen=True)
class Random(Strategy):
    """Uniform choice without replacement, from the round's own random stream."""

    kind = "baseline"

    def query(self, ctx: Round) -> Query:
        """Draw `budget` slices."""
        return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
