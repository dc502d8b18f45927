"""CEAL [1]: ask for the most uncertain slices, and train on the network's own masks of the most certain ones.

Three strategies by the uncertainty that ranks the slices: `ceal-margin`, `ceal-entropy` and `ceal-mc-dropout` (entropy
of the mean over dropout samples). The highest are asked for. Pseudo-labels are masks of probability at least 0.5; they
are chosen anew in every round and never counted as labeled, and a pseudo-labeled slice can still be asked for.
`mode=topn` takes the `pseudo` most certain slices by the same ranking, as STAR's comparison does; `mode=threshold` is
[1]: slices with a mean entropy below `threshold - decay * round`, at most `pseudo` of them, lowest first.

Differences from the paper: [1] classifies images; here a slice's pixels are averaged. [1]'s recursive decay is read as
linear, with 0 as its floor. Certain slices are nearly always empty ones; `exclude_empty` leaves those out.

[1] Wang, Zhang, Li, Zhang and Lin. Cost-Effective Active Learning for Deep Image Classification. TCSVT 2017.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from albench.acquisition import binarize, binary_entropy, margin, mean_over_valid, top_k
from albench.masks import PackedMasks
from albench.strategy import Ids, Mask, PixelScoring, Query, Round, register


@dataclass(frozen=True)
class CEAL(PixelScoring):
    """Uncertain slices to the oracle, certain ones to the training set.

    Attributes:
        mode: how pseudo-labels are chosen: the `topn` most certain, or all below a `threshold`.
        pseudo: how many pseudo-labels, at most; None takes the budget.
        threshold: mean entropy in nats below which a slice is certain, in round 0.
        decay: what the threshold loses per round.
        exclude_empty: only slices with a predicted foreground become pseudo-labels.
        query_rule: ask for the slices with the highest `uncertainty`, or at `random`, which tells the gain of the
            pseudo-labels from that of the query.
    """

    kind = "semi-supervised"
    paper = "Wang et al. 2017"

    mode: Literal["topn", "threshold"] = "topn"
    pseudo: Annotated[int, Field(ge=0)] | None = None
    threshold: Annotated[float, Field(ge=0)] = 0.05
    decay: Annotated[float, Field(ge=0)] = 0.0033
    exclude_empty: bool = False
    query_rule: Literal["uncertainty", "random"] = "uncertainty"

    def predictions(self, ctx: Round) -> Iterator[tuple[Ids, Tensor, Tensor]]:
        """Ids (b,), probabilities (b, h, w) and valid pixels (b, h, w) of the unlabeled slices."""
        return ctx.learner.predict(ctx.pool.slices, ctx.pool.unlabeled)

    @abstractmethod
    def uncertainty(self, probs: Tensor) -> Tensor:
        """(b, h, w) scores of pixels, high where the network is uncertain."""

    def query(self, ctx: Round) -> Query:
        """Rank once; ask for one end and label the other."""
        unlabeled = ctx.pool.unlabeled
        scores, entropies = np.empty((2, len(unlabeled)))

        def masks() -> Iterator[tuple[Ids, Mask]]:
            for ids, probs, valid in self.predictions(ctx):
                rows = np.searchsorted(unlabeled, ids)
                scores[rows] = self.aggregate(self.uncertainty(probs), valid).double().cpu().numpy()
                entropies[rows] = mean_over_valid(binary_entropy(probs), valid).double().cpu().numpy()
                yield ids, binarize(probs, valid)

        predicted = PackedMasks.collect(unlabeled, ctx.pool.slices.shape[1:], masks())
        query = Query.highest(scores, ctx)
        if self.query_rule == "random":
            query = Query(ctx.rng.choice(unlabeled, size=ctx.budget, replace=False), scores=query.scores)
        asked = np.isin(unlabeled, query.ids)
        eligible = ~asked & (predicted.packed.any((1, 2)) if self.exclude_empty else True)
        order = scores
        if self.mode == "threshold":
            order = entropies
            eligible = eligible & (order < self.threshold_at(ctx.index))
        count = ctx.budget if self.pseudo is None else self.pseudo
        certain = top_k(-order[eligible], unlabeled[eligible], count)
        return Query(query.ids, pseudo=predicted.only(certain.tolist()), scores=query.scores)

    def threshold_at(self, round_index: int) -> float:
        """Mean entropy in nats below which a slice is certain."""
        return max(0.0, self.threshold - self.decay * round_index)


@register("ceal-margin")
@dataclass(frozen=True)
class CEALMargin(CEAL):
    """CEAL by the margin of the two classes."""

    def uncertainty(self, probs: Tensor) -> Tensor:
        """1 - |2p - 1|."""
        return 1 - margin(probs)


@register("ceal-entropy")
@dataclass(frozen=True)
class CEALEntropy(CEAL):
    """CEAL by entropy."""

    def uncertainty(self, probs: Tensor) -> Tensor:
        """Binary entropy."""
        return binary_entropy(probs)


@register("ceal-mc-dropout")
@dataclass(frozen=True)
class CEALMCDropout(CEALEntropy):
    """CEAL by the entropy of the mean over dropout samples.

    Attributes:
        passes: dropout samples per slice.
    """

    needs = "MC passes"

    passes: Annotated[int, Field(ge=2)] = 10

    def predictions(self, ctx: Round) -> Iterator[tuple[Ids, Tensor, Tensor]]:
        """The mean over dropout samples."""
        return map(_mean_of_samples, ctx.learner.predict_mc(ctx.pool.slices, ctx.pool.unlabeled, self.passes))


def _mean_of_samples(prediction: tuple[Ids, Tensor, Tensor]) -> tuple[Ids, Tensor, Tensor]:
    ids, probs, valid = prediction
    return ids, probs.mean(0), valid
