"""The interface of a strategy, and the context that it is given in each round. Start reading here.

A strategy is a frozen dataclass: its fields are its hyper-parameters, its methods are hooks of the loop, and only
`query` is required. It has no state of its own; whatever lasts from one round to the next is part of `Round`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from albench.acquisition import Aggregation, Scores, aggregate, balance_classes, mean_over_valid
from albench.embeddings import read_embeddings
from albench.encoder_decoder import Part
from albench.errors import StrategyError
from albench.masks import Ids, Mask
from albench.network import Task
from albench.pool import Pool
from albench.query import OracleDraw, Query
from albench.registry import STRATEGIES, Plugin, register
from albench.training.batches import Batch, Gathered, Images
from albench.training.learner import Learner, Weights
from albench.training.predictor import Prediction

__all__ = [
    "Ids",
    "Mask",
    "OracleDraw",
    "PixelScoring",
    "Pool",
    "Prediction",
    "Query",
    "Round",
    "Scores",
    "SliceEmbedding",
    "Strategy",
    "Task",
    "VectorSelection",
    "check_neighbors",
    "register",
    "score_slices",
]

Kind = Literal["uncertainty", "diversity", "hybrid", "semi-supervised", "wrapper", "baseline", "other"]
PixelScore = Callable[[Tensor], Tensor]
Aggregate = Callable[[Tensor, Tensor], Tensor]
Weigh = Callable[[Tensor, Tensor], Tensor]

_TRAINING_HOOKS = ("initial", "network", "loss", "fit")


@dataclass(frozen=True)
class Round:
    """The context of a strategy in one round.

    Attributes:
        index: the round, from 0.
        budget: how many slices to query.
        pool: all training slices, with the masks of the labeled ones.
        learner: trains and predicts. In `query`, its network is as `fit` left it.
        pseudo: {id: (h, w) mask}, pseudo-labels from the last query, without the slices labeled since.
        previous: weights at the end of the previous round; None in round 0.
        rng: the random stream of this round's query.
        interval: distance in slices between the initial slices of a case.
        rounds: queries of the whole run, if no slice runs out before.
    """

    index: int
    budget: int
    pool: Pool
    learner: Learner
    pseudo: Mapping[int, Mask]
    previous: Weights | None
    rng: np.random.Generator
    interval: int
    rounds: int

    def examples(self) -> dict[int, Mask]:
        """{id: (h, w) mask} of the labeled and the pseudo-labeled slices."""
        return self.pool.masks() | dict(self.pseudo)

    def score(
        self, pixel_score: PixelScore, aggregate: Aggregate = mean_over_valid, weigh: Weigh | None = None
    ) -> Scores:
        """Score every unlabeled slice from the network's prediction, by default by the mean over its pixels.

        Args:
            pixel_score: maps (b, k, h, w) float32 probabilities (`albench.probabilities`) to (b, h, w) scores.
            aggregate: maps (b, h, w) scores and (b, h, w) weights of pixels to (b,) scores.
            weigh: maps the probabilities and (b, h, w), 1 on pixels that count and 0 elsewhere, to the weights of
                pixels; by default all that count weigh 1.

        Returns:
            (n,) scores in the order of `pool.unlabeled`.
        """
        predictions = self.learner.predict(self.pool.slices, self.pool.unlabeled)
        return score_slices(predictions, pixel_score, aggregate, weigh)

    def score_mc(
        self,
        passes: int,
        pixel_score: PixelScore,
        aggregate: Aggregate = mean_over_valid,
        weigh: Weigh | None = None,
    ) -> Scores:
        """Score every unlabeled slice as in `score`, from `passes` dropout samples per slice.

        Args:
            pixel_score: maps (passes, b, k, h, w) float32 probabilities to (b, h, w) scores.
            aggregate: as in `score`, as is `weigh`.

        Raises:
            NetworkError: the network has no dropout.
        """
        predictions = self.learner.predict_mc(self.pool.slices, self.pool.unlabeled, passes)
        return score_slices(predictions, pixel_score, aggregate, weigh)


@dataclass(frozen=True)
class Strategy(Plugin, ABC):
    """A query strategy: it selects the slices to label next, and may change how the network is trained.

    `albench list strategies` shows `kind` (what the selection is based on), `needs` (what the strategy requires of
    network and training), `predictions_per_slice` and `paper` (its source). `albench show` adds the docstring of the
    module, to which a paragraph `When it fails:` belongs. `uses_labels` marks a baseline whose query depends on the
    truth of unlabeled slices, which the oracle looks up (`OracleDraw`).
    """

    group: ClassVar[str] = STRATEGIES
    kind: ClassVar[Kind] = "other"
    needs: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    uses_labels: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ()
    """Options that name a file, whose content and not its path is part of the identity of a run."""

    shares_round_zero: ClassVar[bool] = True
    """Whether the training of round 0 is that of all strategies, so that it is done once and shared between runs.

    True declares that `fit` and `loss` are the defaults, and that the network is the default one, or an
    `albench.encoder_decoder.Extended` that contains it, built first; parts added to it must not affect its logits or
    its initial weights. A run verifies this before round 0 and trains alone where it finds otherwise
    (`RunCallback.on_notice` says why). A subclass that defines `initial`, `network`, `loss` or `fit` gets False, unless
    it states this attribute in the same class body.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        promise = next(index for index, base in enumerate(cls.__mro__) if "shares_round_zero" in vars(base))
        if any(hook in vars(base) for base in cls.__mro__[:promise] for hook in _TRAINING_HOOKS):
            cls.shares_round_zero = False

    def check(self, pool: Pool) -> None:
        """Reject options that do not fit the pool, before the first training; by default all fit.

        Raises:
            StrategyError: with the rule, the value and the remedy.
        """
        return

    def initial(self, initial: Ids, pool: Pool) -> Ids:
        """Slices to label before round 0, by default the `initial` slices that all strategies share."""
        return initial

    def network(self, task: Task) -> nn.Module:
        """The network to train, by default the one that the user chose for all strategies."""
        return task.build()

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """The loss of a batch, by default the supervised one; `unlabeled` yields batches of the whole pool."""
        return batch.supervised(model(batch.images))

    def fit(self, ctx: Round) -> None:
        """Train the learner. Its network is evaluated afterwards, before `query`."""
        ctx.learner.fit(ctx.examples(), self.loss)

    def parts(self) -> tuple[Part, ...]:
        """What the network must have for the query, checked before the first training; by default nothing."""
        return ()

    def trainings(self) -> int:
        """Trainings between two evaluations, those of `query` included; by default the one of `fit`."""
        return 1

    def predictions_per_slice(self) -> float | None:
        """How often a query predicts an unlabeled slice, for `albench show`; None if it is not said.

        A dropout sample, a view and an embedding count as one each, trainings do not.
        """
        return None

    def trains_as(self) -> Strategy:
        """The strategy that trains, by default this one; that of a wrapper is the one that it wraps."""
        return self

    def trains_by_itself(self) -> bool:
        """Whether anything but the query is not that of all strategies."""
        own = self.trains_as()
        hooks = any(getattr(type(own), hook) is not getattr(Strategy, hook) for hook in _TRAINING_HOOKS)
        return hooks or own.trainings() != 1

    def ranks_by_score(self) -> bool:
        """Whether the scores of a query alone decide which slices it takes, by default yes.

        A wrapper that needs such scores rejects other strategies before the first training.
        """
        return True

    def foreground_wanted(self, budget: int) -> int:
        """Slices of a query that the oracle draws from those with foreground, see `OracleDraw`; by default none."""
        return 0

    @abstractmethod
    def query(self, ctx: Round) -> Query | OracleDraw:
        """Select exactly `ctx.budget` unlabeled slices to label next. Not called in the last round."""


@dataclass(frozen=True)
class PixelScoring(Strategy):
    """A strategy that scores the pixels of a slice and aggregates them to one score.

    Attributes:
        aggregation: from pixels to a slice: `mean` or `sum` over its pixels, or mean of its `top` pixels.
        top: share of the pixels that aggregation `top` averages, those with the highest scores.
        class_weights: weight of a pixel in the mean: `none`, all alike; `predicted`, so that all predicted classes
            count alike, background included, and a small class is not outvoted by a large one.
    """

    aggregation: Aggregation = "mean"
    top: Annotated[float, Field(gt=0, le=1)] = 0.01
    class_weights: Literal["none", "predicted"] = "none"

    def __post_init__(self) -> None:
        if self.class_weights != "none" and self.aggregation != "mean":
            raise ValueError("class_weights weigh a mean, so aggregation must be mean")

    def predictions_per_slice(self) -> float | None:
        """One, by default."""
        return 1.0

    def aggregate(self, values: Tensor, weights: Tensor) -> Tensor:
        """(b,) scores of slices from (b, h, w) scores and weights of pixels."""
        return aggregate(values, weights, self.aggregation, self.top)

    def weigh(self, probs: Tensor, counted: Tensor) -> Tensor:
        """(b, h, w) weights of pixels, from probabilities and (b, h, w), 1 on pixels that count and 0 elsewhere."""
        return balance_classes(probs, counted) if self.class_weights == "predicted" else counted


@dataclass(frozen=True)
class SliceEmbedding(Strategy):
    """A strategy that compares slices by vectors.

    Attributes:
        embeddings: .npz file with a vector of every slice of the pool (`albench.embeddings`); none takes those of the
            current network.
    """

    files: ClassVar[tuple[str, ...]] = ("embeddings",)

    embeddings: str | None = None

    def check(self, pool: Pool) -> None:
        """Reject a file that does not fit the pool."""
        if self.embeddings is not None:
            read_embeddings(Path(self.embeddings), pool.slices)

    def parts(self) -> tuple[Part, ...]:
        """Feature maps to embed slices, unless a file has their vectors."""
        return ("embedding",) if self.embeddings is None else ()

    def predictions_per_slice(self) -> float:
        """One, unless a file has the vectors."""
        return 1.0 if self.embeddings is None else 0.0

    def embed(self, ctx: Round, *, pool: bool = True) -> Tensor:
        """(n, d) finite float32 vectors of all slices, by id, on the device.

        Args:
            pool: as in `Predictor.embed`.
        """
        slices = ctx.pool.slices
        if self.embeddings is not None:
            return torch.from_numpy(read_embeddings(Path(self.embeddings), slices)).to(ctx.learner.device)
        vectors = ctx.learner.embed(slices, np.arange(len(slices)), pool=pool)
        if not torch.isfinite(vectors).all():
            raise StrategyError("embeddings must be finite, some are not: lower training.lr")
        return vectors


@dataclass(frozen=True)
class VectorSelection(SliceEmbedding):
    """A strategy that selects slices by their vectors alone, with no other use of the network.

    With vectors from a file it needs no network, so that it can also select what is labeled before round 0
    (`albench.start`).
    """

    @abstractmethod
    def select(self, vectors: Tensor, pool: Pool, count: int, rng: np.random.Generator) -> Ids:
        """Select `count` unlabeled slices, the most wanted first.

        Args:
            vectors: (n, d) finite float32, of all slices, by id.
            pool: with the slices that are labeled, which may be none.
            count: at most as many as there are unlabeled slices.
            rng: of all that is drawn.
        """

    def ranks_by_score(self) -> bool:
        """No: it compares slices with each other."""
        return False

    def query(self, ctx: Round) -> Query:
        """Query what is selected by the vectors."""
        return Query(self.select(self.embed(ctx), ctx.pool, ctx.budget, ctx.rng))


def check_neighbors(pool: Pool) -> None:
    """Reject a pool of volumes of one slice, for a strategy that compares the slices of a volume.

    Raises:
        StrategyError: no volume has two slices.
    """
    if len(pool.slices) == len(pool.slices.cases):
        raise StrategyError(
            "volumes must have several slices to compare, every volume of the pool has one: choose a strategy that "
            "needs no neighbors, such as entropy"
        )


def score_slices(
    predictions: Iterator[Prediction], pixel_score: PixelScore, aggregate: Aggregate, weigh: Weigh | None = None
) -> Scores:
    """One score per slice, from a stream of predictions. Other arguments are those of `Round.score`.

    Of t samples of probabilities, a CPU scores b / t slices at a time. So `pixel_score` needs no more memory than for
    one prediction of a batch. A GPU, which had more in its memory during training, scores all at once.

    Raises:
        StrategyError: `pixel_score` does not give one score per pixel.
    """

    def scores(prediction: Prediction) -> Tensor:
        probs, counted = prediction.probs, prediction.scored
        size = -(-len(counted) // (len(probs) if probs.ndim == 5 and not probs.is_cuda else 1))
        return torch.cat(list(map(piece, probs.split(size, -4), counted.split(size))))

    def piece(probs: Tensor, counted: Tensor) -> Tensor:
        values = pixel_score(probs)
        if values.shape != counted.shape:
            raise StrategyError(
                f"a pixel score must map probabilities {tuple(probs.shape)} to one score per pixel, "
                f"{tuple(counted.shape)}, got {tuple(values.shape)}: reduce the dimension of the classes, see "
                "albench.probabilities"
            )
        return aggregate(values, weigh(probs, counted) if weigh else counted)

    gathered = Gathered()
    for part in map(scores, predictions):
        gathered.add(part)
    return gathered.read()
