"""STAR's second training stage: segment a slice by attention to a labeled slice of the same case (Sec. 2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from albench.masks import Ids
from albench.strategies._star.network import Labeled, StarNetwork
from albench.training.batches import Batch, batched, mean_over_pixels
from albench.training.examples import Examples
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
        examples: the slices.
        rows: (n, 2) of them: the slice in the memory and the slice to segment.
        case: (n,) of each pair.
    """

    examples: Examples
    rows: NDArray[np.int64]
    case: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Examples, ids: NDArray[np.int64]) -> Pairs:
        """Those with the given (n, 2) ids."""
        return cls(examples, examples.rows(ids), examples.slices.case[ids[:, 1]])


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

    def batches(pairs: Pairs, parts: Iterable[Ids], *, augmented: bool) -> Iterator[tuple[Batch, ...]]:
        return learner.batches(pairs.examples, [pairs.rows[part] for part in parts], augmented=augmented)

    def losses(parts: Sequence[Ids], epoch: int) -> Iterator[Tensor]:
        for memory, query in batches(train, parts, augmented=learner.training.augment):
            with eval_mode(*norms):
                logits = network.propagate(query.images, Labeled.of(memory))
            yield _loss(logits, query, loss)

    def validate() -> Validation:
        assert val is not None, "a rule that validates needs validation cases"
        parts, overlaps = [], []
        with eval_mode(*network.modules()), torch.no_grad(), learner.autocast():
            for memory, query in batches(val, batched(np.arange(len(val.rows)), learner.batch_size), augmented=False):
                logits = network.propagate(query.images, Labeled.of(memory))
                parts.append((_loss(logits, query, loss), query.known.sum()))
                overlaps.append(overlap(logits, query))
        return Validation(mean_over_pixels(parts), volume_dice(overlaps, val.case))

    learner.optimize(
        losses,
        len(train.rows),
        validate,
        purpose="propagation",
        lr=lr,
        patience=patience,
        share=0.5,
        method="propagate",
    )


def _loss(logits: Tensor, target: Batch, loss: PairLoss) -> Tensor:
    """The propagation loss of a batch, averaged over known pixels."""
    if loss == "focal":
        return target.supervised(logits)
    return focal(logits, target.masks, target.known, alpha=1, gamma=0)  # this is cross-entropy
