"""BALD [1, 2]: the slices with the highest mutual information between prediction and network weights.

A pixel's score is `H(mean p) - mean H(p)` over `passes` dropout samples. It is high where the samples disagree, and not
where they agree that a pixel is ambiguous.

Differences from the papers: [1, 2] score a single label; here the scores of the pixels of a slice are averaged.

When it fails: the slices with the highest scores tend to be adjacent slices of few volumes. A network that is wrong but
certain is not found, because all samples agree. The ranking of few samples is noisy, and a mean over pixels favors
slices with long contours.

[1] Houlsby, Huszar, Ghahramani and Lengyel. Bayesian Active Learning for Classification and Preference Learning.
arXiv:1112.5745, 2011.
[2] Gal, Islam and Ghahramani. Deep Bayesian Active Learning with Image Data. ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.acquisition import bald
from albench.encoder_decoder import Part
from albench.errors import StrategyError
from albench.strategy import PixelScoring, Query, Round, Scores, register


@register("bald")
@dataclass(frozen=True)
class BALD(PixelScoring):
    """Selects the slices with the highest mutual information.

    Attributes:
        passes: dropout samples per slice.
    """

    kind = "uncertainty"
    needs = "MC passes"
    paper = "Houlsby et al. 2011"

    passes: Annotated[int, Field(ge=2)] = 10

    def parts(self) -> tuple[Part, ...]:
        """Dropout, for the samples."""
        return ("dropout",)

    def predictions_per_slice(self) -> float:
        """One for every dropout sample."""
        return self.passes

    def query(self, ctx: Round) -> Query:
        """Query the slices with the highest mutual information."""
        return Query.highest(self.information(ctx), ctx)

    def information(self, ctx: Round) -> Scores:
        """Mutual information of every unlabeled slice. Raises StrategyError if it is 0 for all of them."""
        scores = ctx.score_mc(self.passes, bald, self.aggregate, self.weigh)
        if not scores.max() > 0:
            raise StrategyError("dropout samples must differ, they are equal for every slice: raise network.dropout")
        return scores
