"""Random foreground: slices drawn uniformly from those with predicted foreground.

Whether a slice has foreground is decided from the prediction, not from the truth. If fewer slices than the budget have
predicted foreground, the remaining ones are drawn from the others. A strategy that is better than `random` only because
it avoids empty slices is not better than this baseline.

When it fails: a network that predicts no foreground in most slices misses those where it is needed, and one that
predicts it everywhere makes the query that of `random`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from albench.probabilities import predicted
from albench.strategy import Query, Round, Strategy, register


@register("random-foreground")
@dataclass(frozen=True)
class RandomForeground(Strategy):
    """Draws slices with predicted foreground at random."""

    kind = "baseline"

    def predictions_per_slice(self) -> float:
        """One, of the foreground."""
        return 1.0

    def query(self, ctx: Round) -> Query:
        """Query random slices, those with predicted foreground first."""
        foreground = ctx.score(lambda probs: (predicted(probs) > 0).float(), _any)
        return Query.highest(foreground + ctx.rng.random(len(foreground)) / 2, ctx)


def _any(values: Tensor, valid: Tensor) -> Tensor:
    return torch.amax(values * valid, (1, 2))
