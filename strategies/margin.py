"""Margin [1]: ask for the slices with the smallest gap between the two classes' probabilities.

A slice's score is the mean of 1 - |2p - 1| over its valid pixels: 0 where the network is certain, 1 where it is not.
The highest are asked for, which are those with the lowest mean margin.

Differences from the paper: [1] takes the margin of a token of a sequence; here it is averaged over the pixels. With two
classes the ranking is that of least confidence.

[1] Scheffer, Decomain and Wrobel. Active Hidden Markov Models for Information Extraction. IDA 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.acquisition import margin
from albench.strategy import PixelScoring, Query, Round, register


@register("margin")
@dataclass(frozen=True)
class Margin(PixelScoring):
    """Lowest pixel margin."""

    kind = "uncertainty"
    paper = "Scheffer et al. 2001"

    def query(self, ctx: Round) -> Query:
        """Ask for the most uncertain slices."""
        return Query.highest(ctx.score(lambda probs: 1 - margin(probs), self.aggregate), ctx)
