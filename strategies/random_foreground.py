"""Random foreground: a random choice among the slices in which the network sees something.

Whether a mask is empty is decided from the prediction, never from the truth. When fewer slices than the budget have a
predicted foreground, the rest is drawn from the others. A strategy that wins only because it avoids empty slices does
not beat this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from albench.strategy import Query, Round, Strategy, register


@register("random-foreground")
@dataclass(frozen=True)
class RandomForeground(Strategy):
    """Random among slices with a predicted foreground."""

    kind = "baseline"

    def query(self, ctx: Round) -> Query:
        """Draw slices, those with a predicted foreground first."""
        seen = ctx.score(lambda probs: (probs >= 0.5).float(), _any)
        return Query.highest(seen + ctx.rng.random(len(seen)) / 2, ctx)


def _any(values: Tensor, valid: Tensor) -> Tensor:
    return torch.amax(values * valid, (1, 2))
