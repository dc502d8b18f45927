"""Entropy [1]: ask for the slices whose predicted masks have the highest entropy.

A slice's score is the mean binary entropy of its valid pixels, `-p ln p - (1-p) ln(1-p)`.

Differences from the paper: [1] sums over a sequence's tokens (total token entropy) or averages (token entropy); the
mean is the default, so that slices of different size compare. STAR's code drops the (1-p) ln(1-p) term; it is kept
here.

[1] Settles and Craven. An Analysis of Active Learning Strategies for Sequence Labeling Tasks. EMNLP 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.acquisition import binary_entropy
from albench.strategy import PixelScoring, Query, Round, register


@register("entropy")
@dataclass(frozen=True)
class Entropy(PixelScoring):
    """Highest pixel entropy."""

    kind = "uncertainty"
    paper = "Settles and Craven 2008"

    def query(self, ctx: Round) -> Query:
        """Ask for the most uncertain slices."""
        return Query.highest(ctx.score(binary_entropy, self.aggregate), ctx)
