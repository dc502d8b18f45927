"""Margin [1]: the slices with the smallest mean margin between the two most probable classes.

The margin of a pixel is the difference between its highest and its second highest probability, background included;
with one class, |2p - 1|. The score of a slice is the mean of 1 - margin over its pixels: 0 if the network is certain, 1
if it is not.

Differences from the paper: [1] uses the margin of a token of a sequence; here the margins of the pixels are averaged.
With foreground and background only, the ranking equals that of least confidence.

When it fails: as `entropy`, because with one class both rank single pixels alike. With several classes it ignores all
but the two most probable ones.

[1] Scheffer, Decomain and Wrobel. Active Hidden Markov Models for Information Extraction. IDA 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.acquisition import margin
from albench.strategy import PixelScoring, Query, Round, register


@register("margin")
@dataclass(frozen=True)
class Margin(PixelScoring):
    """Selects the slices with the lowest margin."""

    kind = "uncertainty"
    paper = "Scheffer et al. 2001"

    def query(self, ctx: Round) -> Query:
        """Query the slices with the lowest margin."""
        return Query.highest(ctx.score(lambda probs: 1 - margin(probs), self.aggregate, self.weigh), ctx)
