"""The learner: a network with its weights, trained and asked. The only thing in a run that changes in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from albench.augment import augment
from albench.config import Training
from albench.data import LabeledStack, SliceStack
from albench.errors import StrategyError
from albench.losses import focal
from albench.pool import Ids, Mask
from albench.streams import Streams

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Slices to train on.

    Attributes:
        images: (b, c, h, w) float32.
        masks: (b, 1, h, w) float32 in [0, 1].
        valid: (b, 1, h, w) float32, 1 on pixels that count, 0 on padding.
        criterion: the benchmark's supervised loss of logits, masks and valid pixels.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    criterion: Callable[[Tensor, Tensor, Tensor], Tensor]

    def supervised(self, logits: Tensor) -> Tensor:
        """The benchmark's supervised loss of (b, 1, h, w) logits for these slices."""
        return self.criterion(logits, self.masks, self.valid)


class Loss(Interface):
    """What `Learner.fit` minimizes: `Strategy.loss`."""

    def __call__(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Tensor], epoch: int) -> Tensor:
        """The loss of one batch; `unlabeled` gives (b, c, h, w) images of the whole pool; epochs count from 1."""


@dataclass(frozen=True)
class Fit:
    """What one training did.

    Attributes:
        epochs: passes made.
        best_epoch: the pass whose weights were kept, from 1.
        steps: optimizer steps.
        val_loss: validation loss of the kept weights.
    """

    epochs: int
    best_epoch: int
    steps: int
    val_loss: float


EpochReport = Callable[[int, int, float, float], None]


class Learner:
    """A network in one round of a run.

    Args:
        network: maps (b, c, h, w) images to (b, 1, h, w) logits.
        slices: the training slices; ids are rows of it.
        validation: slices with truth that decide when to stop.
        training: epochs, rates and the loss's constants.
        streams: random streams of the run.
        round_index: the round, from 0.
        lr: learning rate of this round.
        device: where to compute.
        on_epoch: called with epoch, epochs, training loss, validation loss.
    """

    def __init__(
        self,
        network: nn.Module,
        slices: SliceStack,
        validation: LabeledStack,
        training: Training,
        streams: Streams,
        *,
        round_index: int,
        lr: float,
        device: torch.device,
        on_epoch: EpochReport = lambda epoch, epochs, loss, val_loss: None,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.slices = slices
        self.training = training
        self.device = device
        self.log: list[Fit] = []
        self._validation = validation
        self._streams = streams
        self._round = round_index
        self._lr = lr
        self._on_epoch = on_epoch
        self._criterion = partial(
            focal,
            alpha=training.focal_alpha,
            gamma=training.focal_gamma,
            alpha_mode=training.focal_alpha_mode,
        )

    @property
    def steps(self) -> int:
        """Optimizer steps of all trainings of this round."""
        return sum(fit.steps for fit in self.log)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def fit(self, examples: Mapping[int, Mask], loss: Loss) -> Fit:
        """Train on labeled slices until the validation loss stops falling; keep the best weights.

        Adam with default betas; batches in an order that depends on the ids, the seed and the round only.

        Args:
            examples: {slice id: (h, w) mask}.
            loss: what to minimize; early stopping always watches the supervised loss on the validation slices.

        Raises:
            StrategyError: there is nothing to train on, or the loss is not finite.
        """
        if not examples:
            raise StrategyError("training needs at least one labeled slice, got none: label slices before round 0")
        ids = np.array(sorted(examples), dtype=np.int64)
        masks = np.stack([examples[int(i)] for i in ids])
        order = self._streams.numpy("batches", self._round)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self._lr)
        unlabeled = self._unlabeled_batches()
        best, best_loss, best_epoch, steps = self.weights(), math.inf, 0, 0
        with self._streams.torch("training", self._round):
            for epoch in range(1, self.training.epochs + 1):
                self.network.train()
                total = 0.0
                for rows in _chunks(order.permutation(len(ids)), self.training.batch_size):
                    batch = self._batch(self.slices, ids[rows], masks[rows], augmented=self.training.augment)
                    with self._autocast():
                        value = loss(self.network, batch, unlabeled, epoch)
                    if not torch.isfinite(value):
                        raise StrategyError(
                            f"the training loss must be finite, it is {float(value)} in epoch {epoch}: lower "
                            "training.lr"
                        )
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                    optimizer.step()
                    steps += 1
                    total += float(value.detach()) * len(rows)
                val_loss = self.validation_loss()
                self._on_epoch(epoch, self.training.epochs, total / len(ids), val_loss)
                if val_loss < best_loss:
                    best, best_loss, best_epoch = self.weights(), val_loss, epoch
                elif epoch - best_epoch >= self.training.patience:
                    break
        self.network.load_state_dict(best)
        self.log.append(Fit(epoch, best_epoch, steps, best_loss))
        return self.log[-1]

    def predict(self, slices: SliceStack, ids: Ids) -> Iterator[tuple[Ids, Tensor, Tensor]]:
        """Foreground probabilities, streamed batch by batch.

        Yields:
            ids (b,), probabilities (b, h, w) float32 and valid pixels (b, h, w) float32, on the device.
        """
        with evaluating(self.network), torch.inference_mode():
            for chunk in _chunks(ids, self.training.batch_size):
                images, valid = self._images(slices, chunk)
                with self._autocast():
                    logits = self.network(images)
                yield chunk, torch.sigmoid(logits.float())[:, 0], valid[:, 0]

    def validation_loss(self) -> float:
        """The supervised loss over all validation slices, in evaluation mode and without augmentation."""
        slices = self._validation.slices
        total = 0.0
        with evaluating(self.network), torch.no_grad():
            for ids in _chunks(np.arange(len(slices)), self.training.batch_size):
                batch = self._batch(slices, ids, self._validation.masks(ids))
                with self._autocast():
                    logits = self.network(batch.images)
                total += float(batch.supervised(logits)) * len(ids)
        return total / len(slices)

    def _batch(self, slices: SliceStack, ids: Ids, masks: NDArray[np.uint8], *, augmented: bool = False) -> Batch:
        images, valid = self._images(slices, ids)
        targets = torch.from_numpy(masks).to(self.device)[:, None].float()
        if augmented:
            images, targets, valid = augment(images, targets, valid)
        return Batch(images, targets, valid, self._criterion)

    def _images(self, slices: SliceStack, ids: Ids) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) images and (b, 1, h, w) valid pixels on the device."""
        images = torch.from_numpy(slices.images[slices.rows[ids]]).to(self.device).float()
        images = images.contiguous(memory_format=torch.channels_last)
        height, width = images.shape[-2:]
        valid = torch.from_numpy(slices.valid[ids]).to(self.device)
        inside_y = torch.arange(height, device=self.device) < valid[:, :1]
        inside_x = torch.arange(width, device=self.device) < valid[:, 1:]
        return images, (inside_y[:, None, :, None] & inside_x[:, None, None, :]).float()

    def _unlabeled_batches(self) -> Iterator[Tensor]:
        """An endless shuffled stream over all training slices, augmented as in training and read when pulled."""
        order = self._streams.numpy("unlabeled", self._round)
        while True:
            for rows in _chunks(order.permutation(len(self.slices)), self.training.batch_size):
                images, valid = self._images(self.slices, rows)
                yield augment(images, valid, valid)[0] if self.training.augment else images

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network in evaluation mode for a block, and every module back in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _chunks(ids: Ids, size: int) -> Iterator[Ids]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
