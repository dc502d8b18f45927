"""SoftrankBALD [1]: slices drawn with probability proportional to a power of the rank of their BALD score.

The slice with the highest score has rank 1, and a slice of rank r is drawn with probability proportional to
`r^-exponent`. Unlike in `power-bald`, only the order of the scores counts: the draw does not become uniform where the
scores hardly differ. To sample without replacement, the slices with the highest `-exponent ln(r) + Gumbel noise` are
taken (Gumbel top-k trick). The noise comes from the random stream of the round.

Differences from the paper: [1] scores a single label; here the scores of the pixels of a slice are averaged, as in
`bald`.

When it fails: half of the weight is on about the square root of the number of slices, whatever the scores are, so noise
in the ranking of few samples counts as much as a real difference. Those first ranks tend to be adjacent slices.

[1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal. Stochastic Batch Acquisition: A Simple Baseline
for Deep Active Learning. TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.acquisition import log_rank_power, perturbed
from albench.strategies.bald import BALD
from albench.strategy import Query, Round, register


@register("softrank-bald")
@dataclass(frozen=True)
class SoftrankBALD(BALD):
    """Draws slices at random, weighted by the rank of their mutual information.

    Attributes:
        exponent: 0 draws uniformly; the higher, the closer the selection is to that of `bald`.
    """

    kind = "hybrid"
    needs = "MC passes"
    paper = "Kirsch et al. 2023"

    exponent: Annotated[float, Field(ge=0)] = 1.0

    def query(self, ctx: Round) -> Query:
        """Query slices drawn by the rank of their mutual information."""
        weights = log_rank_power(self.information(ctx), self.exponent)
        return Query.highest(perturbed(weights, ctx.rng), ctx)
