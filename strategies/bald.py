"""BALD [1, 2]: ask for the slices whose dropout samples disagree most, pixel by pixel.

A pixel's score is the mutual information of prediction and weights, `H(mean p) - mean H(p)` over `passes` dropout
samples: only what the network could learn counts, not what is noise in the image.

Differences from the papers: [1, 2] score one label; here the pixels of a slice are averaged.

[1] Houlsby, Huszar, Ghahramani and Lengyel. Bayesian Active Learning for Classification and Preference Learning.
arXiv:1112.5745, 2011.
[2] Gal, Islam and Ghahramani. Deep Bayesian Active Learning with Image Data. ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.acquisition import bald
from albench.errors import StrategyError
from albench.strategy import PixelScoring, Query, Round, Scores, register


@register("bald")
@dataclass(frozen=True)
class BALD(PixelScoring):
    """Highest mutual information.

    Attributes:
        passes: dropout samples per slice.
    """

    kind = "uncertainty"
    needs = "MC passes"
    paper = "Houlsby et al. 2011"

    passes: Annotated[int, Field(ge=2)] = 10

    def query(self, ctx: Round) -> Query:
        """Ask for the slices whose samples disagree most."""
        return Query.highest(self.information(ctx), ctx)

    def information(self, ctx: Round) -> Scores:
        """Mutual information of every unlabeled slice. Raises StrategyError if it is 0 everywhere."""
        scores = ctx.score_mc(self.passes, bald, self.aggregate)
        if not scores.max() > 0:
            raise StrategyError("dropout samples must differ, all of them agree on every slice: raise network.dropout")
        return scores
