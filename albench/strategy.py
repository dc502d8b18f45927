"""The page to read first: what a strategy is, what it is given in a round, and what it answers.

A strategy is a frozen dataclass. Its fields are its hyper-parameters, its methods are its hooks; only `query` is
required. It keeps nothing between rounds: what survives a round comes back in `Round`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from albench.acquisition import Aggregation, Scores, aggregate, mean_over_valid
from albench.masks import Ids, Mask
from albench.pool import Pool
from albench.query import Query
from albench.registry import STRATEGIES, register
from albench.training.learner import Batch, Images, Learner, Weights
from albench.training.networks import Segmenter, Task

__all__ = [
    "Ids",
    "Mask",
    "PixelScoring",
    "Pool",
    "Query",
    "Round",
    "Scores",
    "Strategy",
    "Task",
    "register",
    "score_slices",
]

Kind = Literal["uncertainty", "diversity", "hybrid", "semi-supervised", "baseline", "other"]
PixelScore = Callable[[Tensor], Tensor]
Aggregate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Round:
    """What a strategy is given.

    Attributes:
        index: the round, from 0.
        budget: how many slices to ask for.
        pool: all training slices, with the masks bought so far.
        learner: trains and predicts; the network is in the state that `fit` left.
        pseudo: {id: (h, w) mask} from the last query, without what was bought since.
        previous: weights at the end of the last round; None in round 0.
        rng: the random stream of this round's query.
        interval: distance of the slices of a case that were labeled before round 0.
    """

    index: int
    budget: int
    pool: Pool
    learner: Learner
    pseudo: Mapping[int, Mask]
    previous: Weights | None
    rng: np.random.Generator
    interval: int

    def examples(self) -> dict[int, Mask]:
        """{id: (h, w) mask} of the bought and the pseudo-labeled slices."""
        return {int(i): self.pool.mask(int(i)) for i in self.pool.labeled} | dict(self.pseudo)

    def score(self, pixel_score: PixelScore, aggregate: Aggregate = mean_over_valid) -> Scores:
        """One score per unlabeled slice, in the order of `pool.unlabeled`; by default the mean over its valid pixels.

        Args:
            pixel_score: (b, h, w) float32 foreground probabilities to (b, h, w) scores.
            aggregate: (b, h, w) scores and (b, h, w) valid pixels to (b,).
        """
        predictions = self.learner.predict(self.pool.slices, self.pool.unlabeled)
        return score_slices(predictions, pixel_score, aggregate)

    def score_mc(self, passes: int, pixel_score: PixelScore, aggregate: Aggregate = mean_over_valid) -> Scores:
        """The same from dropout samples: `pixel_score` is given (passes, b, h, w) probabilities.

        Raises:
            StrategyError: the network has no dropout.
        """
        predictions = self.learner.predict_mc(self.pool.slices, self.pool.unlabeled, passes)
        return score_slices(predictions, pixel_score, aggregate)


@dataclass(frozen=True)
class Strategy(ABC):
    """A way to spend a labeling budget.

    `kind`, `needs` and `paper` are for the menu: what drives the choice, what it asks of training or network, and who
    proposed it.
    """

    group: ClassVar[str] = STRATEGIES
    name: ClassVar[str]
    kind: ClassVar[Kind] = "other"
    needs: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    def initial(self, anchors: Ids, pool: Pool) -> Ids:
        """Slices to label before round 0. Strategies share the anchors; only a reference differs."""
        return anchors

    def network(self, task: Task) -> nn.Module:
        """The network to train, with logits (b, 1, h, w) for images (b, c, h, w)."""
        return Segmenter(task)

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """The loss of a batch, by default the supervised one; `unlabeled` gives batches of the pool."""
        return batch.supervised(model(batch.images))

    def fit(self, ctx: Round) -> None:
        """Train the learner; the test metrics of the round are those of the network afterwards."""
        ctx.learner.fit(ctx.examples(), self.loss)

    @abstractmethod
    def query(self, ctx: Round) -> Query:
        """Choose the next slices. Called after the evaluation, while there is something left to buy."""


@dataclass(frozen=True)
class PixelScoring(Strategy):
    """A strategy that scores a slice by its pixels.

    Attributes:
        aggregation: from pixels to a slice: `mean` or `sum` over the valid area, or the mean of the `top` pixels.
        top: share of the valid pixels that aggregation `top` takes, those with the highest scores.
    """

    aggregation: Aggregation = "mean"
    top: Annotated[float, Field(gt=0, le=1)] = 0.01

    def aggregate(self, values: Tensor, valid: Tensor) -> Tensor:
        """(b,) scores of slices from (b, h, w) scores of pixels."""
        return aggregate(values, valid, self.aggregation, self.top)


def score_slices(
    predictions: Iterator[tuple[Ids, Tensor, Tensor]], pixel_score: PixelScore, aggregate: Aggregate
) -> Scores:
    """One score per slice, from a stream of ids (b,), probabilities (b, h, w) and valid pixels (b, h, w).

    Samples of probabilities, (t, b, h, w), are scored b / t slices at a time, so that what `pixel_score` needs in
    between is no more than for one prediction of a batch.
    """

    def scores(prediction: tuple[Ids, Tensor, Tensor]) -> list[float]:
        _, probs, valid = prediction
        size = -(-len(valid) // (len(probs) if probs.ndim == 4 else 1))
        pieces = zip(probs.split(size, -3), valid.split(size), strict=True)
        return torch.cat([aggregate(pixel_score(some), inside) for some, inside in pieces]).double().tolist()

    return np.fromiter(chain.from_iterable(map(scores, predictions)), np.float64)
