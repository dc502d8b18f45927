"""Entropy [1]: the slices whose predictions have the highest mean entropy.

The score of a slice is the mean over its pixels of the entropy over all classes and the background,
`-sum_c p_c ln p_c`.

Differences from the paper: [1] sums the entropies of the tokens of a sequence (total token entropy) or averages them
(token entropy); the mean is the default here, so that slices of different sizes are comparable. The authors' code of
STAR omits the term of the background, (1-p) ln(1-p), which is kept here.

When it fails: the slices with the highest scores tend to be adjacent slices of few volumes, with the same error. Early
on, a network is uncertain nearly everywhere or nowhere, so scores mean little. A mean over pixels favors slices with
long contours, and passes over small objects and errors that the network is certain of.

[1] Settles and Craven. An Analysis of Active Learning Strategies for Sequence Labeling Tasks. EMNLP 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

from albench.acquisition import entropy
from albench.strategy import PixelScoring, Query, Round, register


@register("entropy")
@dataclass(frozen=True)
class Entropy(PixelScoring):
    """Selects the slices with the highest entropy."""

    kind = "uncertainty"
    paper = "Settles and Craven 2008"

    def query(self, ctx: Round) -> Query:
        """Query the slices with the highest entropy."""
        return Query.highest(ctx.score(entropy, self.aggregate, self.weigh), ctx)
