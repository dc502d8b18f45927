"""What strategies share that draw by predictive entropy: whose prediction it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.encoder_decoder import Part
from albench.strategy import PixelScoring, Prediction, Round


@dataclass(frozen=True)
class PredictiveEntropy(PixelScoring):
    """A strategy that scores slices by the entropy of the prediction.

    Attributes:
        passes: dropout samples per slice, whose mean is the prediction; 0 takes one prediction without dropout.
    """

    passes: Annotated[int, Field(ge=0)] = 0

    def parts(self) -> tuple[Part, ...]:
        """Dropout, if there are samples."""
        return ("dropout",) if self.passes else ()

    def predictions_per_slice(self) -> float:
        """One, or one for every dropout sample."""
        return float(self.passes or 1)

    def predictions(self, ctx: Round) -> Iterator[Prediction]:
        """The prediction of every unlabeled slice, batch by batch, its probabilities (b, k, h, w)."""
        slices, ids = ctx.pool.slices, ctx.pool.unlabeled
        if not self.passes:
            return ctx.learner.predict(slices, ids)
        return map(_averaged, ctx.learner.predict_mc(slices, ids, self.passes))


def _averaged(samples: Prediction) -> Prediction:
    return samples._replace(probs=samples.probs.mean(0))
