"""PowerBALD [1]: slices drawn with probability proportional to a power of their BALD score.

The slices with the highest scores resemble each other; random sampling makes the batch more diverse at no cost. To
sample without replacement, the slices with the highest `exponent ln(score) + Gumbel noise` are taken (Gumbel top-k
trick). The noise comes from the random stream of the round.

Differences from the paper: [1] scores a single label; here the scores of the pixels of a slice are averaged, as in
`bald`.

When it fails: where the scores of most slices are alike, the draw is nearly uniform, so it costs more than `random` for
the same result. A large exponent brings back the adjacent slices of `bald`.

[1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal. Stochastic Batch Acquisition: A Simple Baseline
for Deep Active Learning. TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.acquisition import log_power, perturbed
from albench.strategies.bald import BALD
from albench.strategy import Query, Round, register


@register("power-bald")
@dataclass(frozen=True)
class PowerBALD(BALD):
    """Draws slices at random, weighted by mutual information.

    Attributes:
        exponent: 0 draws uniformly; the higher, the closer the selection is to that of `bald`.
    """

    kind = "hybrid"
    needs = "MC passes"
    paper = "Kirsch et al. 2023"

    exponent: Annotated[float, Field(ge=0)] = 1.0

    def query(self, ctx: Round) -> Query:
        """Query slices drawn by their mutual information."""
        weights = log_power(self.information(ctx), self.exponent)
        return Query.highest(perturbed(weights, ctx.rng), ctx)
