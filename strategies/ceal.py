"""CEAL [1]: the most uncertain slices are queried, and the most certain ones are pseudo-labeled.

There are three strategies, which differ in the uncertainty of a pixel: `ceal-margin`, `ceal-entropy` and
`ceal-mc-dropout` (entropy of the mean over dropout samples). Pseudo-labels are the predicted masks. They are selected
anew in every round and do not count as labels, and their slices can still be queried. `mode=topn` takes the `pseudo`
most certain slices of the same ranking, as in the comparison of STAR. `mode=threshold` is that of [1]: slices with a
mean entropy below `threshold - decay * round`, at most `pseudo` of them, lowest first.

Differences from the paper: [1] classifies images; here the scores of the pixels of a slice are averaged. The recursive
decay of [1] is read as linear, with a lower limit of 0. The most certain slices are nearly always empty; with
`exclude_empty`, slices without predicted foreground are not pseudo-labeled, and with `balanced`, half of the
pseudo-labels have foreground. `pseudo=0` is the same training without pseudo-labels.

When it fails: pseudo-labels of an early network repeat its errors, and nothing corrects them but a later query. The
most certain slices are nearly always empty, so they teach little (see above). The query is that of the uncertainty
alone, with its adjacent slices.

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

from albench.acquisition import entropy, margin, mean_over_valid, most_certain, pseudo_selection
from albench.encoder_decoder import Part
from albench.probabilities import predicted_masks
from albench.strategy import Ids, PixelScoring, Prediction, Query, Round, register
from albench.training.batches import Gathered
from albench.training.packing import pack_predictions


@dataclass(frozen=True)
class CEAL(PixelScoring):
    """Queries uncertain slices and pseudo-labels certain ones.

    Attributes:
        mode: how slices are selected for pseudo-labels: the `topn` most certain, or all below a `threshold`.
        pseudo: maximum number of pseudo-labels; None takes the budget.
        threshold: mean entropy in nats below which a slice is certain in round 0.
        decay: decrease of the threshold per round.
        exclude_empty: pseudo-label only slices with predicted foreground.
        balanced: pseudo-label as many slices with predicted foreground as without.
        query_rule: query the slices with the highest `uncertainty`, or at `random`, which separates the effect of the
            pseudo-labels from that of the query.
    """

    kind = "semi-supervised"
    paper = "Wang et al. 2017"

    mode: Literal["topn", "threshold"] = "topn"
    pseudo: Annotated[int, Field(ge=0)] | None = None
    threshold: Annotated[float, Field(ge=0)] = 0.05
    decay: Annotated[float, Field(ge=0)] = 0.0033
    exclude_empty: bool = False
    balanced: bool = False
    query_rule: Literal["uncertainty", "random"] = "uncertainty"

    def __post_init__(self) -> None:
        super().__post_init__()
        pseudo_selection(exclude_empty=self.exclude_empty, balanced=self.balanced)

    def predictions(self, ctx: Round) -> Iterator[Prediction]:
        """The predictions of the slices without a label."""
        return ctx.learner.predict(ctx.pool.slices, _candidates(ctx))

    @abstractmethod
    def uncertainty(self, probs: Tensor) -> Tensor:
        """(b, h, w) scores of pixels from (b, k, h, w) probabilities, high where the network is uncertain."""

    def ranks_by_score(self) -> bool:
        """Unless the query is random."""
        return self.query_rule == "uncertainty"

    def query(self, ctx: Round) -> Query:
        """Rank the slices; query the uncertain end and pseudo-label the certain one."""
        candidates = _candidates(ctx)
        scores, entropies = Gathered(), Gathered()

        def masks() -> Iterator[tuple[Ids, Tensor]]:
            for ids, probs, valid, counted in self.predictions(ctx):
                scores.add(self.aggregate(self.uncertainty(probs), self.weigh(probs, counted)))
                if self.mode == "threshold":
                    entropies.add(mean_over_valid(entropy(probs), counted))
                yield ids, predicted_masks(probs, valid)

        predicted = pack_predictions(ctx.pool.slices, candidates, masks())
        order = uncertainty = scores.read()
        query = Query.highest(uncertainty[np.isin(candidates, ctx.pool.unlabeled)], ctx)
        if self.query_rule == "random":
            query = Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False), scores=query.scores)
        eligible = ~np.isin(candidates, query.ids)
        if self.mode == "threshold":
            order = entropies.read()
            eligible &= order < self.threshold_at(ctx.index)
        count = ctx.budget if self.pseudo is None else self.pseudo
        rows = np.flatnonzero(eligible)
        rows = rows[np.argsort(order[rows], kind="stable")]
        keep = pseudo_selection(exclude_empty=self.exclude_empty, balanced=self.balanced)
        certain = most_certain(candidates[rows], predicted.nonempty(candidates[rows]), count, keep)
        return Query(query.ids, pseudo=predicted.only(certain.tolist()), scores=query.scores)

    def threshold_at(self, round_index: int) -> float:
        """Mean entropy in nats below which a slice is certain in this round."""
        return max(0.0, self.threshold - self.decay * round_index)


@register("ceal-margin")
@dataclass(frozen=True)
class CEALMargin(CEAL):
    """CEAL by the margin of the two most probable classes."""

    def uncertainty(self, probs: Tensor) -> Tensor:
        """1 - margin."""
        return 1 - margin(probs)


@register("ceal-entropy")
@dataclass(frozen=True)
class CEALEntropy(CEAL):
    """CEAL by entropy."""

    def uncertainty(self, probs: Tensor) -> Tensor:
        """Entropy."""
        return entropy(probs)


@register("ceal-mc-dropout")
@dataclass(frozen=True)
class CEALMCDropout(CEALEntropy):
    """CEAL by the entropy of the mean over dropout samples.

    Attributes:
        passes: dropout samples per slice.
    """

    needs = "MC passes"

    passes: Annotated[int, Field(ge=2)] = 10

    def parts(self) -> tuple[Part, ...]:
        """Dropout, for the samples."""
        return ("dropout",)

    def predictions_per_slice(self) -> float:
        """One for every dropout sample."""
        return self.passes

    def predictions(self, ctx: Round) -> Iterator[Prediction]:
        """The mean over dropout samples."""
        return map(_mean_of_samples, ctx.learner.predict_mc(ctx.pool.slices, _candidates(ctx), self.passes))


def _candidates(ctx: Round) -> Ids:
    """Slices without a label, also those that cannot be queried."""
    return np.union1d(ctx.pool.unlabeled, ctx.pool.undrawn)


def _mean_of_samples(prediction: Prediction) -> Prediction:
    return prediction._replace(probs=prediction.probs.mean(0))
