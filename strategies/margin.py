"""Margin [1]: ask for the slices with the smallest gap between the two classes' probabilities.

A slice's score is the mean of |2p - 1| over its valid pixels; the lowest are asked for.

Differences from the paper: [1] takes the margin of a token of a sequence; here it is averaged over the pixels.

[1] Scheffer, Decomain and Wrobel. Active Hidden Markov Models for Information Extraction. IDA 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.acquisition import margin
from albench.strategy import Query, Round, Strategy, register


@register("margin")
@dataclass(frozen=True)
class Margin(Strategy):
    """Lowest mean pixel margin."""

    def query(self, ctx: Round) -> Query:
        """Ask for the most uncertain slices."""
        return Query.lowest(ctx.score(margin), ctx)
