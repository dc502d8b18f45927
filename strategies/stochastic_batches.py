"""Stochastic batches [1]: of random batches of unlabeled slices, the one whose slices have the highest mean score.

`batches` batches of as many slices as the budget are drawn, each without replacement, and the batch with the highest
mean over its slices of the score of the inner strategy is queried. Its slices are more diverse than those with the
highest scores, at no further cost. Without a number of batches, the unlabeled slices are shuffled once and divided into
batches without a slice in common, and the rest of the division is left out.

Differences from the paper: of [1], the abstract and the authors' code were read. That code divides the shuffled slices
by default, as is done here, and draws a given number of batches otherwise. Any strategy whose scores decide its query
can be wrapped, also one for which low scores are wanted.

When it fails: with a budget above half of the unlabeled slices, the division has one batch, and the query is random.
With very many batches it approaches the slices with the highest scores. The mean of a large batch is nearly that of all
slices, so a large budget makes all batches alike.

[1] Gaillochet, Desrosiers and Lombaert. Active Learning for Medical Image Segmentation with Stochastic Batches. Medical
Image Analysis 2023.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from albench.acquisition import top_k
from albench.strategies.entropy import Entropy
from albench.strategy import Query, Round, Strategy, register
from albench.wrapper import Wrapper, check_scoring, requery, scored


@register("stochastic-batches")
@dataclass(frozen=True)
class StochasticBatches(Wrapper):
    """Selects the random batch with the highest mean score.

    Attributes:
        batches: number of random batches; none divides the shuffled slices.
    """

    paper = "Gaillochet et al. 2023"

    inner: Strategy = field(default_factory=Entropy)
    batches: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scoring(self.inner)

    def query(self, ctx: Round) -> Query:
        """Query the best of the random batches."""
        query, unlabeled = scored(self.inner, ctx), ctx.pool.unlabeled
        wanted = query.wanted()
        batches = draw_batches(len(unlabeled), ctx.budget, self.batches, ctx.rng)
        means = [wanted[rows].mean() for rows in batches]
        best = batches[int(np.argmax(means))]
        ids = top_k(wanted[best], unlabeled[best], ctx.budget)
        return requery(query, ids, batches=len(batches), batch_score=float(np.mean(query.scores[best])))  # type: ignore[index]


def draw_batches(total: int, size: int, count: int | None, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Random batches of rows.

    Args:
        total: number of rows.
        size: rows of a batch, at most `total`.
        count: number of batches, drawn independently; None divides the shuffled rows into total // size batches.
        rng: draws them.
    """
    if count is None:
        return list(rng.permutation(total)[: total // size * size].reshape(-1, size))
    return [rng.choice(total, size=size, replace=False) for _ in range(count)]
