"""STAR's second training stage: segment a slice by attention to a labeled slice of the same case (Sec. 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from albench.masks import Ids
from albench.strategies._star.network import Labeled, StarNetwork
from albench.training.augment import augment
from albench.training.batches import Batch, batched, mean_over_pixels
from albench.training.learner import Learner
from albench.training.losses import focal
from albench.training.overlap import overlap, volume_dice
from albench.training.predictor import eval_mode
from albench.training.stopping import Validation

PairLoss = Literal["bce", "focal"]


@dataclass(frozen=True)
class Pairs:
    """Pairs of labeled slices.

    Attributes:
        ids: (n, 2): the slice in the memory and the slice to segment.
        batch: reads labeled slices from their ids.
        case: (n,) of each pair.
    """

    ids: Ids
    batch: Callable[[Ids], Batch]
    case: NDArray[np.int64]


def train_propagation(
    network: StarNetwork,
    learner: Learner,
    train: Pairs,
    val: Pairs | None,
    *,
    lr: float,
    patience: int,
    loss: PairLoss,
    freeze_norm: bool,
) -> None:
    """Copy Enc_U to Enc_L, then train the whole network until the validation pairs show no progress.

    Where the number of optimizer steps is fixed, this stage takes half of those of a round.

    Args:
        network: the network of the learner.
        learner: trains it.
        train: pairs to train on.
        val: pairs of other cases; None if the training is not validated.
        lr: Adam's learning rate.
        patience: epochs without progress.
        loss: of the predicted slice.
        freeze_norm: normalize by the running statistics and do not update them.
    """
    network.share_encoder()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] if freeze_norm else []

    def step(rows: Ids, epoch: int) -> Tensor:
        with eval_mode(*norms):
            logits, target = _propagate(network, train, rows, augmented=learner.training.augment)
        return _loss(logits, target, loss)

    def validate() -> Validation:
        assert val is not None, "a rule that validates needs validation cases"
        parts, overlaps = [], []
        with eval_mode(*network.modules()), torch.no_grad(), learner.autocast():
            for rows in batched(np.arange(len(val.ids)), learner.batch_size):
                logits, target = _propagate(network, val, rows, augmented=False)
                parts.append((_loss(logits, target, loss), target.known.sum()))
                overlaps.append(overlap(logits, target))
        return Validation(mean_over_pixels(parts), volume_dice(overlaps, val.case))

    learner.optimize(
        step, len(train.ids), validate, purpose="propagation", lr=lr, patience=patience, share=0.5, method="propagate"
    )


def _propagate(network: StarNetwork, pairs: Pairs, rows: Ids, *, augmented: bool) -> tuple[Tensor, Batch]:
    """(b, k, h, w) logits of the slices to segment of some pairs, and these slices."""
    memory, query = (pairs.batch(ids) for ids in pairs.ids[rows].T)
    if augmented:
        memory, query = _augmented(memory, query)
    return network.propagate(query.images, Labeled.of(memory)), query


def _augmented(first: Batch, second: Batch) -> tuple[Batch, Batch]:
    """Both slices of pairs, which have the same valid pixels, with one geometry for both."""
    images = torch.cat([first.images, second.images], 1)
    maps = torch.cat([first.masks, second.masks, first.known, second.known], 1)
    images, maps, valid = augment(images, maps, second.valid)
    parts = zip((first, second), images.chunk(2, 1), maps[:, :2].chunk(2, 1), maps[:, 2:].chunk(2, 1), strict=True)
    one, other = (Batch(image, mask, valid, known, batch.criterion) for batch, image, mask, known in parts)
    return one, other


def _loss(logits: Tensor, target: Batch, loss: PairLoss) -> Tensor:
    """The propagation loss of a batch, averaged over known pixels."""
    if loss == "focal":
        return target.supervised(logits)
    return focal(logits, target.masks, target.known, alpha=1, gamma=0)  # this is cross-entropy
