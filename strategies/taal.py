"""TAAL [1]: disagreement under augmentation, as a loss on unlabeled slices and as the score of a query.

Training adds to the supervised loss the weighted Jensen-Shannon divergence between the prediction of an unlabeled slice
and those of `views` flipped, turned and noisy copies, turned back. Its weight grows over the first epochs. The query
compares the eight flips and quarter turns of a slice and asks for those that disagree most.

Differences from the paper: the supervised loss is that of all strategies (focal, [1] has Dice), so is the training
schedule, and the network goes on from the last round. Copies pass through the network with BatchNorm in evaluation
mode, so that they do not shift its statistics (`batch_norm=train` for [1]'s way). A turned slice that is not square is
given to the network as it is, its sides exchanged.

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
from albench.strategy import Ids, PixelScoring, Query, Round, register, score_slices
from albench.training.learner import Batch, Images, eval_mode
from albench.training.losses import ramp_up

View = tuple[bool, int]  # flipped; quarter turns

VIEWS: tuple[View, ...] = tuple((flip, turns) for flip in (False, True) for turns in range(4))


@register("taal")
@dataclass(frozen=True)
class TAAL(PixelScoring):
    """Highest disagreement under augmentation.

    Attributes:
        alpha_train: weight of the mean prediction's entropy in the loss; 0.5 asks for agreement, more for certainty.
        alpha_query: the same in the score.
        views: augmented copies of an unlabeled slice in a training step.
        weight: of the unlabeled loss, when fully grown; 0 trains as strategies without unlabeled slices do.
        ramp: epochs until it is.
        noise: standard deviation of the noise added to a copy, in units of the normalized image.
        batch_norm: mode of BatchNorm for the copies.
        query_rule: ask for the slices with the highest `disagreement`, or at `random`, which tells the gain of the
            training from that of the query.
    """

    kind = "semi-supervised"
    needs = "unlabeled slices in training"
    paper = "Gaillochet et al. 2022"

    alpha_train: Annotated[float, Field(ge=0, le=1)] = 0.75
    alpha_query: Annotated[float, Field(ge=0, le=1)] = 0.5
    views: Annotated[int, Field(ge=1)] = 3
    weight: Annotated[float, Field(ge=0)] = 1.0
    ramp: Annotated[int, Field(ge=1)] = 10
    noise: Annotated[float, Field(ge=0)] = 0.01
    batch_norm: Literal["eval", "train"] = "eval"
    query_rule: Literal["disagreement", "random"] = "disagreement"

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """Supervised loss plus `ramp * weight * JSD`; the gradient flows through the clean prediction only."""
        if self.weight == 0:
            return super().loss(model, batch, unlabeled, epoch)
        extra = next(unlabeled)
        labeled_logits, logits = model(torch.cat([batch.images, extra.images])).split(
            [len(batch.images), len(extra.images)]
        )
        with torch.no_grad(), self._batch_norm(model):
            copies = [_predict_view(model, extra.images, self._draw(), self.noise) for _ in range(self.views)]
        divergence = weighted_jsd(torch.stack([torch.sigmoid(logits.float()), *copies]), self.alpha_train)
        consistency = (divergence * extra.valid).sum() / extra.valid.sum().clamp_min(1)
        return batch.supervised(labeled_logits) + ramp_up(epoch, self.ramp) * self.weight * consistency

    def query(self, ctx: Round) -> Query:
        """Ask for the slices whose eight views disagree most."""
        if self.query_rule == "random":
            return Query(ctx.rng.choice(ctx.pool.unlabeled, size=ctx.budget, replace=False))
        network = ctx.learner.network

        def forward(ids: Ids, batch: Images) -> tuple[Ids, Tensor, Tensor]:
            valid = batch.valid[:, 0]
            probs = valid.new_empty(len(VIEWS), *valid.shape)
            for view, seen in zip(VIEWS, probs, strict=True):
                seen.copy_(_predict_view(network, batch.images, view, self.noise)[:, 0])
            return ids, probs, valid

        predictions = ctx.learner.stream(ctx.pool.slices, ctx.pool.unlabeled, forward)
        return Query.highest(score_slices(predictions, self._disagreement, self.aggregate), ctx)

    def _disagreement(self, probs: Tensor) -> Tensor:
        return weighted_jsd(probs, self.alpha_query)

    def _batch_norm(self, model: nn.Module) -> AbstractContextManager[None]:
        layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        return eval_mode(*layers) if self.batch_norm == "eval" else nullcontext()

    def _draw(self) -> View:
        return bool(torch.rand(()) < 0.5), int(torch.randint(4, ()))


def turn(maps: Tensor, view: View) -> Tensor:
    """(..., h, w) maps flipped top to bottom, then turned by quarters; h and w change places with odd turns."""
    flip, turns = view
    return torch.rot90(maps.flip(-2) if flip else maps, turns, (-2, -1))


def turn_back(maps: Tensor, view: View) -> Tensor:
    """The reverse of `turn`, exactly."""
    flip, turns = view
    turned = torch.rot90(maps, -turns, (-2, -1))
    return turned.flip(-2) if flip else turned


def _predict_view(network: nn.Module, images: Tensor, view: View, noise: float) -> Tensor:
    """(b, 1, h, w) probabilities of a noisy view, in the original frame."""
    seen = turn(images, view)
    logits = network(seen + noise * torch.randn_like(seen))
    return turn_back(torch.sigmoid(logits.float()), view)
