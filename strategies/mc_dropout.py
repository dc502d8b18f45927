"""MC-Dropout [1, 2]: the slices with the highest uncertainty over dropout samples.

Each slice is predicted `passes` times with dropout, each time with another dropout mask; all else is as in evaluation.
With `measure=entropy` (as in the comparison of STAR), the score of a pixel is the entropy of its mean probability. With
`measure=variance` (as in [2]), it is the population variance of its probabilities, with several classes half of its sum
over them and the background.

Differences from the papers: [2] queries a mixture of certain, random and uncertain slices and adds pseudo-labels; here
the most uncertain slices are queried. [2] sums over the pixels and can weight them by their distance to the contour;
here the unweighted mean is the default. The number of passes is 10, as in the authors' code of STAR; [2] uses 20.

When it fails: as `entropy`, and its samples hardly differ where little of the network comes after its dropout, so it
then costs `passes` times as much for nearly the same ranking. With `measure=variance`, few samples make a noisy
ranking.

[1] Gal and Ghahramani. Dropout as a Bayesian Approximation. ICML 2016.
[2] Gorriz, Carlier, Faure and Giro-i-Nieto. Cost-Effective Active Learning for Melanoma Segmentation. ML4H 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from albench.acquisition import entropy, variance
from albench.encoder_decoder import Part
from albench.strategy import PixelScoring, Query, Round, register


@register("mc-dropout")
@dataclass(frozen=True)
class MCDropout(PixelScoring):
    """Selects the slices with the highest uncertainty over dropout samples.

    Attributes:
        passes: dropout samples per slice.
        measure: uncertainty of a pixel: `entropy` of the mean probability, or `variance` of the probabilities.
    """

    kind = "uncertainty"
    needs = "MC passes"
    paper = "Gal and Ghahramani 2016"

    passes: Annotated[int, Field(ge=2)] = 10
    measure: Literal["entropy", "variance"] = "entropy"

    def parts(self) -> tuple[Part, ...]:
        """Dropout, for the samples."""
        return ("dropout",)

    def predictions_per_slice(self) -> float:
        """One for every dropout sample."""
        return self.passes

    def query(self, ctx: Round) -> Query:
        """Query the most uncertain slices."""
        return Query.highest(ctx.score_mc(self.passes, _MEASURES[self.measure], self.aggregate, self.weigh), ctx)


def _entropy_of_mean(probs: Tensor) -> Tensor:
    return entropy(probs.mean(0))


def _variance(probs: Tensor) -> Tensor:
    return variance(probs, 0)


_MEASURES = {"entropy": _entropy_of_mean, "variance": _variance}
