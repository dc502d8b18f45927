"""TAAL [1]: the slices whose augmented views are predicted most differently, with a consistency loss in training.

Training adds to the supervised loss the weighted Jensen-Shannon divergence between the prediction of an unlabeled slice
and those of `views` flipped, rotated and noisy copies, mapped back. Its weight increases over the first epochs. The
score of a query is the same divergence between the eight flips and quarter rotations of a slice.

Differences from the paper: the supervised loss (focal, in [1] Dice) and the training schedule are those of all
strategies, and training continues from the weights of the previous round. The weight of the unlabeled loss is that of
[1] beside a Dice loss, and the focal loss is ten to a hundred times smaller. So the unlabeled loss is multiplied by the
ratio of focal to Dice loss of the same labeled batch, through which no gradient flows (`unit=dice`); its mean is stored
with the training. `unit=none` uses the weight as it is. The copies pass through the network with
BatchNorm in evaluation mode, so that they do not change its statistics (`batch_norm=train` as in [1]). A quarter
rotation of a slice that is not square exchanges its height and width.

When it fails: views of a slice agree where the network is certain and wrong. Objects whose position tells their class
are not the same when flipped or rotated, so the consistency then trains against the labels. Eight views make the query
eight times as expensive, and the copies make a training step several times so.

[1] Gaillochet, Desrosiers and Lombaert. TAAL: Test-Time Augmentation for Active Learning in Medical Image Segmentation.
DALI 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from albench.acquisition import weighted_jsd
from albench.probabilities import activated, outputs_for
from albench.strategy import Ids, PixelScoring, Prediction, Query, Round, register, score_slices
from albench.training.batches import Batch, Images, concat_batches
from albench.training.losses import ramp_up, soft_dice
from albench.training.predictor import eval_mode

View = tuple[bool, int]  # whether flipped; number of quarter rotations

VIEWS: tuple[View, ...] = tuple((flip, quarters) for flip in (False, True) for quarters in range(4))


@register("taal")
@dataclass(frozen=True)
class TAAL(PixelScoring):
    """Trains on the consistency of augmented views and selects the slices where they disagree most.

    Attributes:
        alpha_train: weight of the entropy of the mean prediction in the loss; 0.5 rewards agreement only, more also
            certainty.
        alpha_query: the same in the score.
        views: augmented copies of an unlabeled slice in a training step.
        weight: final weight of the unlabeled loss; 0 trains on labeled slices only.
        unit: of the weight: beside a `dice` loss, as in the paper, or `none`, beside the supervised loss as it is.
        ramp: epochs until the final weight is reached.
        noise: standard deviation of the noise added to a copy, in units of the normalized image.
        batch_norm: mode of BatchNorm for the copies.
        query_rule: query the slices with the highest `disagreement`, or at `random`, which separates the effect of the
            training from that of the query.
    """

    kind = "semi-supervised"
    needs = "unlabeled slices in training"
    paper = "Gaillochet et al. 2022"

    alpha_train: Annotated[float, Field(ge=0, le=1)] = 0.75
    alpha_query: Annotated[float, Field(ge=0, le=1)] = 0.5
    views: Annotated[int, Field(ge=1)] = 3
    weight: Annotated[float, Field(ge=0)] = 1.0
    unit: Literal["dice", "none"] = "dice"
    ramp: Annotated[int, Field(ge=1)] = 10
    noise: Annotated[float, Field(ge=0)] = 0.01
    batch_norm: Literal["eval", "train"] = "eval"
    query_rule: Literal["disagreement", "random"] = "disagreement"

    def fit(self, ctx: Round) -> None:
        """Train, and record the mean factor of the weight."""
        factors: list[Tensor] = []

        def loss(model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
            return self._loss(model, batch, unlabeled, epoch, factors)

        def notes() -> dict[str, float]:
            return {"unit": float(torch.stack(factors).mean())} if factors else {}

        ctx.learner.fit(ctx.examples(), loss, notes=notes)

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """Supervised loss plus `ramp * weight * unit * JSD`; only the prediction of the original has a gradient."""
        return self._loss(model, batch, unlabeled, epoch, [])

    def _loss(
        self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int, factors: list[Tensor]
    ) -> Tensor:
        if self.weight == 0:
            return super().loss(model, batch, unlabeled, epoch)
        extra = next(unlabeled)
        labeled_logits, logits = model(torch.cat([batch.images, extra.images])).split(
            [len(batch.images), len(extra.images)]
        )
        with torch.no_grad(), self._batch_norm(model):
            copies = [_predict_view(model, extra.images, self._draw(), self.noise) for _ in range(self.views)]
        divergence = weighted_jsd(torch.stack([activated(logits), *copies]), self.alpha_train)
        consistency = (divergence * extra.valid[:, 0]).sum() / extra.valid.sum().clamp_min(1)
        supervised = batch.supervised(labeled_logits)
        if self.unit == "dice":
            dice = soft_dice(labeled_logits.detach(), batch.masks, batch.known)
            factors.append(supervised.detach() / dice.clamp_min(1e-6))
            consistency = factors[-1] * consistency
        return supervised + ramp_up(epoch, self.ramp) * self.weight * consistency

    def ranks_by_score(self) -> bool:
        """Unless the query is random."""
        return self.query_rule == "disagreement"

    def predictions_per_slice(self) -> float:
        """One for every view."""
        return float(len(VIEWS)) if self.ranks_by_score() else 0.0

    def query(self, ctx: Round) -> Query:
        """Query the slices whose eight views disagree most."""
        if self.query_rule == "random":
            return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
        network = ctx.learner.network

        def forward(ids: Ids, batch: Images) -> Prediction:
            valid = batch.valid[:, 0]
            views = ((_predict_view(network, batch.images, view, self.noise)[None],) for view in VIEWS)
            (probs,) = concat_batches(views, len(VIEWS))
            return Prediction(ids, probs, valid, ctx.learner.scored(ctx.pool.slices, ids, valid))

        channels = outputs_for(len(ctx.pool.slices.classes))
        predictions = ctx.learner.stream(ctx.pool.slices, ctx.pool.unlabeled, forward, channels=channels)
        return Query.highest(score_slices(predictions, self._disagreement, self.aggregate, self.weigh), ctx)

    def _disagreement(self, probs: Tensor) -> Tensor:
        return weighted_jsd(probs, self.alpha_query)

    def _batch_norm(self, model: nn.Module) -> AbstractContextManager[None]:
        layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        return eval_mode(*layers) if self.batch_norm == "eval" else nullcontext()

    def _draw(self) -> View:
        return bool(torch.rand(()) < 0.5), int(torch.randint(4, ()))


def transform(maps: Tensor, view: View) -> Tensor:
    """Flip (..., h, w) maps top to bottom, then rotate them by quarters; odd numbers of quarters exchange h and w."""
    flip, quarters = view
    return torch.rot90(maps.flip(-2) if flip else maps, quarters, (-2, -1))


def invert(maps: Tensor, view: View) -> Tensor:
    """The exact inverse of `transform`."""
    flip, quarters = view
    rotated = torch.rot90(maps, -quarters, (-2, -1))
    return rotated.flip(-2) if flip else rotated


def _predict_view(network: nn.Module, images: Tensor, view: View, noise: float) -> Tensor:
    """(b, k, h, w) probabilities of a noisy view, mapped back to the original orientation."""
    transformed = transform(images, view)
    logits = network(transformed + noise * torch.randn_like(transformed))
    return invert(activated(logits), view)
