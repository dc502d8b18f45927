"""STAR's second stage: learn to segment a slice with the help of a labeled slice of the same case (Sec. 2.2)."""

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
from albench.training.learner import Batch, Learner, batched, eval_mode, mean_over_pixels
from albench.training.losses import focal

PairLoss = Literal["bce", "focal"]


@dataclass(frozen=True)
class Pairs:
    """Slices to learn from.

    Attributes:
        ids: (n, 2): the slice that is remembered with its mask, and the slice to segment.
        batch: labeled slices from their ids.
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
    """Start Enc_L from Enc_U, then train all parts until the loss on the validation pairs stops falling.

    Args:
        network: the learner's.
        learner: optimizes it.
        train: pairs to learn from.
        val: pairs of other cases.
        lr: Adam's learning rate.
        patience: epochs without a lower validation loss.
        loss: of the predicted slice.
        freeze_norm: use and keep the batch normalization's running statistics.
    """
    network.share_encoder()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] if freeze_norm else []

    def step(rows: Ids, epoch: int) -> Tensor:
        with eval_mode(*norms):
            return _loss(network, train, rows, loss, augmented=learner.training.augment)[0]

    def validation_loss() -> float:
        with eval_mode(*network.modules()), torch.no_grad(), learner.autocast():
            batches = batched(np.arange(len(val.ids)), learner.training.batch_size)
            parts = [_loss(network, val, rows, loss, augmented=False) for rows in batches]
        return mean_over_pixels(parts)

    learner.optimize(step, len(train.ids), validation_loss, purpose="propagation", lr=lr, patience=patience)


def _loss(network: StarNetwork, pairs: Pairs, rows: Ids, loss: PairLoss, *, augmented: bool) -> tuple[Tensor, Tensor]:
    """The propagation loss of a batch of pairs, averaged over valid pixels, and the number of these."""
    memory, query = (pairs.batch(ids) for ids in pairs.ids[rows].T)
    images, masks = torch.cat([memory.images, query.images], 1), torch.cat([memory.masks, query.masks], 1)
    valid = query.valid
    if augmented:
        images, masks, valid = augment(images, masks, valid)  # one draw for both slices, so that they still correspond
    memory_image, image = images.chunk(2, 1)
    logits = network.propagate(image, memory_image, masks[:, :1], valid)
    target = masks[:, 1:]
    if loss == "focal":
        return query.criterion(logits, target, valid), valid.sum()
    return focal(logits, target, valid, alpha=1, gamma=0), valid.sum()  # this is binary cross-entropy
