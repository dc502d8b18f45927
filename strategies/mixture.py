"""Mixture: a share of the slices from another strategy, such as random ones beside the most uncertain ones.

First `inner` queries its part of the budget, then `other` queries `share` of the budget from the slices that are left;
so each of them is asked for as many slices as it gives. The share is rounded to a number of slices, but each gives one
at least where the budget is 2 or more; of a budget of 1, `inner` gives all. Training, pseudo-labels and recorded scores
are those of `inner`; notes are those of `inner` and the number of slices of `other` (`mixed`).

When it fails: `other` cannot bring a network, a loss or a training of its own; make it the inner strategy then. The
strategies do not know of each other, so a slice of one may lie beside a slice of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from albench.encoder_decoder import Part
from albench.strategies.entropy import Entropy
from albench.strategies.random_choice import Random
from albench.strategy import Pool, Query, Round, Strategy, register
from albench.wrapper import Wrapper, ask, requery


@register("mixture")
@dataclass(frozen=True)
class Mixture(Wrapper):
    """Selects the slices of two strategies.

    Attributes:
        other: the strategy that gives a share of the slices; its options are set likewise.
        share: of the budget that `other` gives.
    """

    inner: Strategy = field(default_factory=Entropy)
    other: Strategy = field(default_factory=Random)
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.other.name
        if self.other.uses_labels:
            raise ValueError(f"other must not have the oracle draw by the truth, {name} does: name another strategy")
        if self.other.trains_by_itself():
            raise ValueError(f"other must train as all strategies do, {name} does not: make it inner")

    def check(self, pool: Pool) -> None:
        """Reject what one of the strategies rejects."""
        super().check(pool)
        self.other.check(pool)

    def parts(self) -> tuple[Part, ...]:
        """What one of the strategies needs."""
        return tuple(dict.fromkeys((*self.inner.parts(), *self.other.parts())))

    def predictions_per_slice(self) -> float | None:
        """Those of both strategies."""
        both = self.inner.predictions_per_slice(), self.other.predictions_per_slice()
        return None if None in both else sum(filter(None, both))

    def query(self, ctx: Round) -> Query:
        """Query slices of both strategies."""
        count = share_of(ctx.budget, self.share)
        query = ask(self.inner, replace(ctx, budget=ctx.budget - count))
        if not count:
            return requery(query, query.ids, mixed=0)
        others = ask(self.other, replace(ctx, budget=count, pool=ctx.pool.without(query.ids)))
        return requery(query, np.concatenate([query.ids, others.ids]), mixed=count)


def share_of(budget: int, share: float) -> int:
    """A share of the budget, rounded to a number of slices; at least 1, and less than the budget."""
    return min(max(round(share * budget), 1), budget - 1)
