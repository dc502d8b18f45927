"""MC-Dropout [1, 2]: ask for the slices that are most uncertain when the prediction is averaged over dropout samples.

`passes` predictions with dropout on, one mask per slice and pass, all else as in evaluation. With `measure=entropy`
(the baseline of STAR) a pixel's score is the entropy of the mean probability; with `measure=variance` ([2]) it is the
population variance of the probabilities.

Differences from the papers: [2] queries a mix of certain, random and uncertain slices and adds pseudo-labels; here the
budget goes to the most uncertain ones. [2] sums over the pixels and may weight them by the distance to the contour; the
mean is the default here and there are no weights. The number of passes is that of STAR's code, 10; [2] has 20.

[1] Gal and Ghahramani. Dropout as a Bayesian Approximation. ICML 2016.
[2] Gorriz, Carlier, Faure and Giro-i-Nieto. Cost-Effective Active Learning for Melanoma Segmentation. ML4H 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from albench.acquisition import binary_entropy, variance
from albench.strategy import PixelScoring, Query, Round, register


@register("mc-dropout")
@dataclass(frozen=True)
class MCDropout(PixelScoring):
    """Highest uncertainty over dropout samples.

    Attributes:
        passes: dropout samples per slice.
        measure: `entropy` of the mean probability, or `variance` of the probabilities.
    """

    kind = "uncertainty"
    needs = "MC passes"
    paper = "Gal and Ghahramani 2016"

    passes: Annotated[int, Field(ge=2)] = 10
    measure: Literal["entropy", "variance"] = "entropy"

    def query(self, ctx: Round) -> Query:
        """Ask for the most uncertain slices."""
        return Query.highest(ctx.score_mc(self.passes, _MEASURES[self.measure], self.aggregate), ctx)


def _entropy_of_mean(probs: Tensor) -> Tensor:
    return binary_entropy(probs.mean(0))


def _variance(probs: Tensor) -> Tensor:
    return variance(probs, 0)


_MEASURES = {"entropy": _entropy_of_mean, "variance": _variance}
