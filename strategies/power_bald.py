"""PowerBALD [1]: draw slices with probability proportional to a power of their BALD score.

The best slices of one ranking resemble each other; drawing keeps the batch diverse at no cost. The draw without
replacement takes the `budget` highest of `exponent ln(score) + Gumbel noise` (Gumbel's top-k trick), the noise coming
from the round's random stream.

Differences from the paper: [1] scores one label; here the pixels of a slice are averaged, as in `bald`.

[1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal. Stochastic Batch Acquisition: A Simple Baseline
for Deep Active Learning. TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from albench.strategies.bald import BALD
from albench.strategy import Query, Round, register


@register("power-bald")
@dataclass(frozen=True)
class PowerBALD(BALD):
    """Random choice weighted by mutual information.

    Attributes:
        exponent: 0 is a uniform draw; the higher, the closer to `bald`.
    """

    kind = "hybrid"
    needs = "MC passes"
    paper = "Kirsch et al. 2023"

    exponent: Annotated[float, Field(ge=0)] = 1.0

    def query(self, ctx: Round) -> Query:
        """Draw slices by their mutual information."""
        information = np.maximum(self.information(ctx), np.finfo(np.float64).tiny)
        noise = ctx.rng.gumbel(size=len(information))
        return Query.highest(self.exponent * np.log(information) + noise, ctx)
