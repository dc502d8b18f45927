"""Power entropy [1]: slices drawn with probability proportional to a power of their predictive entropy.

The slices with the highest scores resemble each other; random sampling makes the batch more diverse at no cost. To
sample without replacement, the slices with the highest `exponent ln(score) + Gumbel noise` are taken (Gumbel top-k
trick), as in `power-bald`. The noise comes from the random stream of the round.

Differences from the paper: [1] scores a single label; here the scores of the pixels of a slice are averaged, as in
`entropy`. [1] takes the entropy of a mean over dropout samples; here one prediction without dropout is the default,
which costs one pass, and `passes=10` takes the mean over ten samples.

When it fails: where the entropies of most slices are alike, the draw is nearly uniform, and most slices drawn may be
empty. A large exponent brings back the adjacent slices of `entropy`. A network that is wrong but certain is not found.

[1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal. Stochastic Batch Acquisition: A Simple Baseline
for Deep Active Learning. TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.acquisition import entropy, log_power, perturbed
from albench.strategies._predictive_entropy import PredictiveEntropy
from albench.strategy import Query, Round, register, score_slices


@register("power-pe")
@dataclass(frozen=True)
class PowerPE(PredictiveEntropy):
    """Draws slices at random, weighted by predictive entropy.

    Attributes:
        exponent: 0 draws uniformly; the higher, the closer the selection is to that of `entropy`.
    """

    kind = "hybrid"
    paper = "Kirsch et al. 2023"

    exponent: Annotated[float, Field(ge=0)] = 1.0

    def query(self, ctx: Round) -> Query:
        """Query slices drawn by their predictive entropy."""
        scores = score_slices(self.predictions(ctx), entropy, self.aggregate, self.weigh)
        return Query.highest(perturbed(log_power(scores, self.exponent), ctx.rng), ctx)
