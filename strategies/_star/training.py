"""STAR's second training stage: segment a slice by attention to a labeled slice of the same case (Sec. 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from albench.masks import Ids
from albench.strategies._star.network import StarNetwork
from albench.training.augment import augment
from albench.training.batches import Batch, batched, mean_over_pixels
from albench.training.learner import Learner
from albench.training.losses import focal
from albench.training.predictor import eval_mode

PairLoss = Literal["bce", "focal"]


@dataclass(frozen=True)
class Pairs:
    """Pairs of labeled slices.

    Attributes:
        ids: (n, 2): the slice in the memory and the slice to segment.
        batch: reads labeled slices from their ids.
    """

    ids: Ids
    batch: Callable[[Ids], Batch]


def train_propagation(
    network: StarNetwork,
    learner: Learner,
    train: Pairs,
    val: Pairs,
    *,
    lr: float,
    patience: int,
    loss: PairLoss,
    freeze_norm: bool,
) -> None:
    """Copy Enc_U to Enc_L, then train the whole network until the loss on the validation pairs stops decreasing.

    Args:
        network: the network of the learner.
        learner: trains it.
        train: pairs to train on.
        val: pairs of other cases.
        lr: Adam's learning rate.
        patience: epochs without a lower validation loss.
        loss: of the predicted slice.
        freeze_norm: normalize by the running statistics and do not update them.
    """
    network.share_encoder()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] if freeze_norm else []

    def step(rows: Ids, epoch: int) -> Tensor:
        with eval_mode(*norms):
            return _loss(network, train, rows, loss, augmented=learner.training.augment)[0]

    def validation_loss() -> float:
        with eval_mode(*network.modules()), torch.no_grad(), learner.autocast():
            batches = batched(np.arange(len(val.ids)), learner.batch_size)
            parts = [_loss(network, val, rows, loss, augmented=False) for rows in batches]
        return mean_over_pixels(parts)

    learner.optimize(step, len(train.ids), validation_loss, purpose="propagation", lr=lr, patience=patience)


def _loss(network: StarNetwork, pairs: Pairs, rows: Ids, loss: PairLoss, *, augmented: bool) -> tuple[Tensor, Tensor]:
    """The propagation loss of a batch of pairs, averaged over valid pixels, and the number of valid pixels."""
    memory, query = (pairs.batch(ids) for ids in pairs.ids[rows].T)
    images, masks = torch.cat([memory.images, query.images], 1), torch.cat([memory.masks, query.masks], 1)
    valid = query.valid
    if augmented:
        images, masks, valid = augment(images, masks, valid)  # one geometry for both slices of a pair
    memory_image, image = images.chunk(2, 1)
    logits = network.propagate(image, memory_image, masks[:, :1], valid)
    target = masks[:, 1:]
    if loss == "focal":
        return query.criterion(logits, target, valid), valid.sum()
    return focal(logits, target, valid, alpha=1, gamma=0), valid.sum()  # this is binary cross-entropy
