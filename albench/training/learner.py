"""Training a network with early stopping, and a log of all trainings. Everything else in a run is immutable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from albench.config import Training
from albench.data import LabeledStack, SliceStack
from albench.errors import StrategyError
from albench.machine import trim_memory
from albench.masks import Ids, Mask
from albench.runs.records import FitSummary
from albench.streams import Streams
from albench.training.augment import augment
from albench.training.batches import Batch, Images, batched, mean_over_pixels
from albench.training.device import to_device
from albench.training.device_cache import DeviceCache
from albench.training.losses import focal
from albench.training.predictor import Predictor, eval_mode

Weights = Mapping[str, Tensor]

EpochReport = Callable[[int, int, float, float], None]
"""A function of epoch, maximum number of epochs, training loss and validation loss."""


class Loss(Interface):
    """What `Learner.fit` minimizes: `Strategy.loss`."""

    def __call__(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """The loss of one batch; `unlabeled` yields batches of the whole pool; epochs count from 1."""


@dataclass(frozen=True)
class TrainingLog:
    """One training of a learner.

    Attributes:
        summary: its result.
        epoch_seconds: wall seconds of each epoch, validation included.
        made: False if the training of another run was reused instead.
    """

    summary: FitSummary
    epoch_seconds: tuple[float, ...]
    made: bool = True


class Learner(Predictor):
    """The network of one round of a run, which is trained and predicts. It is in training mode only during training.

    Args:
        network: maps (b, c, h, w) images to (b, 1, h, w) logits.
        slices: the training slices; the id of a slice is its row.
        validation: slices of other cases with their truth, for early stopping.
        training: epochs, learning rates and constants of the loss.
        streams: random streams of the run.
        round_index: the round, from 0.
        lr: learning rate of this round.
        device: where to compute.
        on_epoch: called after every epoch.
        device_cache: the prepared images on the device, shared by all learners of a run.
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
        device_cache: DeviceCache | None = None,
    ) -> None:
        super().__init__(network, slices, batch_size=training.batch_size, device=device, device_cache=device_cache)
        self.validation = validation
        self.training = training
        self.lr = lr
        self.log: list[TrainingLog] = []
        self._streams = streams
        self._round = round_index
        self._on_epoch = on_epoch
        self._criterion = partial(
            focal,
            alpha=training.focal_alpha,
            gamma=training.focal_gamma,
            alpha_mode=training.focal_alpha_mode,
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def collect_log(self) -> tuple[TrainingLog, ...]:
        """Return the trainings since the last call, in order, and empty the log."""
        collected = tuple(self.log)
        self.log.clear()
        return collected

    def fit(self, examples: Mapping[int, Mask], loss: Loss) -> FitSummary:
        """Train on labeled slices until the supervised loss on the validation slices stops decreasing.

        Args:
            examples: {slice id: (h, w) mask}.
            loss: to minimize.

        Raises:
            StrategyError: there are no examples, or the loss is not finite.
        """
        ids = np.array(sorted(examples), dtype=np.int64)
        masks = np.stack([examples[int(i)] for i in ids]) if len(ids) else np.empty(0, dtype=np.uint8)
        targets = to_device(masks, self.device)
        unlabeled = self._unlabeled_batches()

        def step(rows: Ids, epoch: int) -> Tensor:
            chosen = targets[to_device(rows, self.device)]
            batch = self._batch(self.images(self.slices, ids[rows]), chosen, augmented=self.training.augment)
            return loss(self.network, batch, unlabeled, epoch)

        return self.optimize(step, len(ids), self.validation_loss, purpose="training", lr=self.lr)

    def optimize(
        self,
        step: Callable[[Ids, int], Tensor],
        count: int,
        validation_loss: Callable[[], float],
        *,
        purpose: str,
        lr: float,
        patience: int | None = None,
    ) -> FitSummary:
        """Minimize a loss until the validation loss stops decreasing; keep the weights with the lowest one.

        The optimizer is Adam with default betas. The order of batches depends on seed, purpose and round only.

        Args:
            step: the loss of a batch, from its rows (b,) in [0, count) and the epoch, from 1.
            count: number of training examples.
            validation_loss: called after every epoch; must not change the network.
            purpose: names the random streams.
            lr: Adam's learning rate.
            patience: stop after this many epochs without a lower validation loss; None takes `training.patience`.

        Raises:
            StrategyError: there are no examples, or the loss is not finite.
        """
        if count == 0:
            raise StrategyError("training needs at least one labeled slice, got none: label slices before round 0")
        patience = patience or self.training.patience
        order = self._streams.numpy(f"order of {purpose}", self._round)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, fused=self.device.type == "cuda" or None)
        best, best_loss, best_epoch, steps = self._copy(), math.inf, 0, 0
        seconds: list[float] = []
        with self._streams.torch(purpose, self._round):
            for epoch in range(1, self.training.epochs + 1):
                start = time.perf_counter()
                self.network.train()
                losses, sizes = [], []
                for rows in batched(order.permutation(count), self.batch_size):
                    with self.autocast():
                        value = step(rows, epoch)
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                    optimizer.step()
                    losses.append(value.detach())
                    sizes.append(len(rows))
                steps += len(losses)
                mean_loss = _mean(losses, sizes, f"of {purpose} must be finite, it is {{}} in epoch {epoch}", lr)
                val_loss = validation_loss()
                seconds.append(time.perf_counter() - start)
                self._on_epoch(epoch, self.training.epochs, mean_loss, val_loss)
                if val_loss < best_loss:
                    best, best_loss, best_epoch = self._copy(), val_loss, epoch
                elif epoch - best_epoch >= patience:
                    break
        if best_epoch == 0:
            raise StrategyError(
                f"the validation loss of {purpose} must be finite at least once, it was not in {epoch} epochs: lower "
                f"the learning rate, now {lr}"
            )
        self.network.load_state_dict(best)
        self.network.eval()
        trim_memory()  # the peak of training would otherwise add to that of the next query
        summary = FitSummary(purpose, epoch, best_epoch, steps, best_loss)
        self.log.append(TrainingLog(summary, tuple(seconds)))
        return summary

    def validation_loss(self) -> float:
        """The supervised loss over all valid pixels of the validation slices, without augmentation."""
        slices = self.validation.slices
        parts = []
        with eval_mode(*self.network.modules()), torch.no_grad():
            for ids in batched(np.arange(len(slices)), self.inference_batch):
                batch = self.batch(slices, ids, self.validation.masks(ids))
                with self.autocast():
                    logits = self.network(batch.images)
                parts.append((batch.supervised(logits), batch.valid.sum()))
        return mean_over_pixels(parts)

    def batch(self, slices: SliceStack, ids: Ids, masks: NDArray[np.uint8], *, augmented: bool = False) -> Batch:
        """Slices and their (b, h, w) masks on the device, augmented if requested."""
        return self._batch(self.images(slices, ids), to_device(masks, self.device), augmented=augmented)

    def _batch(self, slices: Images, masks: Tensor, *, augmented: bool) -> Batch:
        """Slices with their (b, h, w) uint8 masks."""
        images, valid = slices
        targets = masks[:, None].float()
        if augmented:
            images, targets, valid = augment(images, targets, valid)
        return Batch(images, targets, valid, self._criterion)

    def _copy(self) -> dict[str, Tensor]:
        """The network's weights and running statistics, on the device."""
        return {key: value.detach().clone() for key, value in self.network.state_dict().items()}

    def _unlabeled_batches(self) -> Iterator[Images]:
        """An endless, shuffled and augmented stream over all training slices; a batch is read when it is requested."""
        order = self._streams.numpy("unlabeled", self._round)
        while True:
            for rows in batched(order.permutation(len(self.slices)), self.batch_size):
                images, valid = self.images(self.slices, rows)
                if self.training.augment:
                    images, _, valid = augment(images, valid, valid)
                yield Images(images, valid)


def _mean(losses: Sequence[Tensor], sizes: Sequence[int], rule: str, lr: float) -> float:
    """The mean loss per example, from the losses and sizes of batches.

    The losses are read together at the end of an epoch, because each read makes the CPU wait for the device.

    Raises:
        StrategyError: one of them is not finite.
    """
    values = torch.stack([loss.double() for loss in losses]).tolist()
    for value in values:
        if not math.isfinite(value):
            raise StrategyError(f"the loss {rule.format(value)}: lower the learning rate, now {lr}")
    return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
