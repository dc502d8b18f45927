"""Training a network until a rule ends it, and a log of all trainings. Everything else in a run is immutable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
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
from albench.masks import UNKNOWN, Ids, Mask
from albench.runs.records import FitSummary
from albench.streams import Streams
from albench.training.augment import augment
from albench.training.batches import Batch, Images, batched, mean_over_pixels
from albench.training.device import to_device
from albench.training.device_cache import DeviceCache
from albench.training.graphs import PassGraphs
from albench.training.losses import focal
from albench.training.overlap import overlap, volume_dice
from albench.training.predictor import Predictor, eval_mode
from albench.training.step_allowance import StepAllowance
from albench.training.stopping import Point, StopRule, Validation

Weights = Mapping[str, Tensor]

EpochReport = Callable[[int, int, float, float | None], None]
"""A function of epoch, maximum number of epochs, training loss and validation loss, None without validation."""


Notes = Callable[[], Mapping[str, float]]
"""Gives numbers about a training that has ended."""


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
        network: maps (b, c, h, w) images to (b, k, h, w) logits.
        slices: the training slices; the id of a slice is its row.
        validation: slices of other cases with their truth, which decide when training stops; None without any.
        training: epochs, learning rates and constants of the loss.
        streams: random streams of the run.
        round_index: the round, from 0.
        lr: learning rate of this round.
        device: where to compute.
        on_epoch: called after every epoch.
        device_cache: the prepared images on the device, shared by all learners of a run.
        score_unknown: as in `Predictor`.
        graphs: of the passes of the network, which are replayed in training; None runs them kernel by kernel.
    """

    def __init__(
        self,
        network: nn.Module,
        slices: SliceStack,
        validation: LabeledStack | None,
        training: Training,
        streams: Streams,
        *,
        round_index: int,
        lr: float,
        device: torch.device,
        on_epoch: EpochReport = lambda epoch, epochs, loss, val_loss: None,
        device_cache: DeviceCache | None = None,
        score_unknown: bool = False,
        graphs: PassGraphs | None = None,
    ) -> None:
        super().__init__(
            network,
            slices,
            batch_size=training.batch_size,
            device=device,
            device_cache=device_cache,
            score_unknown=score_unknown,
        )
        self.validation = validation
        self.training = training
        self.lr = lr
        self.log: list[TrainingLog] = []
        self._streams = streams
        self._round = round_index
        self._steps: StepAllowance | None = None
        self._on_epoch = on_epoch
        self._graphs = graphs
        self._criterion = partial(
            focal,
            alpha=training.focal_alpha,
            gamma=training.focal_gamma,
            alpha_mode=training.focal_alpha_mode,
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the device."""
        return {key: value.detach().clone() for key, value in self.network.state_dict().items()}

    def exchange(self, weights: dict[str, Tensor]) -> None:
        """Exchange the network's weights and running statistics with those of a snapshot, without copying them."""
        for key, value in (*self.network.named_parameters(), *self.network.named_buffers()):
            if key in weights:
                value.data, weights[key] = weights[key], value.data

    def collect_log(self) -> tuple[TrainingLog, ...]:
        """Return the trainings since the last call, in order, and empty the log."""
        collected = tuple(self.log)
        self.log.clear()
        return collected

    def allow(self, steps: int | None) -> None:
        """Allow this many optimizer steps in the next phase of the round; None lets the settings decide."""
        self._steps = None if steps is None else StepAllowance(steps)

    def check_spent(self) -> None:
        """Check that the allowed steps were taken. Raises StrategyError."""
        if self._steps is not None:
            self._steps.check_spent()

    def fit(self, examples: Mapping[int, Mask], loss: Loss, *, share: float = 1.0, notes: Notes = dict) -> FitSummary:
        """Train on labeled slices, as the settings say.

        Args:
            examples: {slice id: (h, w) mask}.
            loss: to minimize.
            share: as in `optimize`.
            notes: likewise.

        Raises:
            StrategyError: there are no examples, or the loss is not finite.
        """
        ids = np.array(sorted(examples), dtype=np.int64)
        masks = np.stack([examples[int(i)] for i in ids]) if len(ids) else np.empty(0, dtype=np.uint8)
        targets = to_device(masks, self.device)
        unlabeled = self._unlabeled_batches()

        def step(rows: Ids, epoch: int) -> Tensor:
            chosen = targets[to_device(rows, self.device)]
            images = self.images(self.slices, ids[rows])
            batch = self._batch(images, chosen, self.slices, augmented=self.training.augment)
            return loss(self.network, batch, unlabeled, epoch)

        return self.optimize(step, len(ids), self.validate, purpose="training", lr=self.lr, share=share, notes=notes)

    def optimize(
        self,
        step: Callable[[Ids, int], Tensor],
        count: int,
        validate: Callable[[], Validation],
        *,
        purpose: str,
        lr: float,
        patience: int | None = None,
        share: float = 1.0,
        notes: Notes = dict,
        method: str = "forward",
    ) -> FitSummary:
        """Minimize a loss until the rule of the settings ends the training (`albench.training.stopping`).

        The optimizer is Adam with default betas. The order of batches depends on seed, purpose and round only.

        Args:
            step: the loss of a batch, from its rows (b,) in [0, count) and the epoch, from 1.
            count: number of training examples.
            validate: called before the training and after every epoch, where the rule needs it; must not change the
                network.
            purpose: names the random streams.
            lr: Adam's learning rate.
            patience: stop after this many epochs without progress; None takes `training.patience`.
            share: of the optimizer steps of the round that this training takes where their number is fixed
                (`protocol.compute=matched`); what earlier trainings left, if that is less.
            notes: called at the end, gives {name: number}, stored in the record of the training.
            method: that of the network whose passes may be replayed as CUDA graphs, from tensors to logits.

        Raises:
            StrategyError: there are no examples, or the loss is not finite.
        """
        if count == 0:
            raise StrategyError("training needs at least one labeled slice, got none: label slices before round 0")
        allowed = None if self._steps is None else self._steps.take(share)
        rule = StopRule.of(self.training, patience=patience, steps=allowed)
        passes = rule.passes(-(-count // self.batch_size))
        order = self._streams.numpy(f"order of {purpose}", self._round)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, fused=self.device.type == "cuda" or None)
        now = Point(0, 0, validate() if rule.keeps_start else None)
        validated, best, weights, read = now, now if rule.keeps_start else None, self.snapshot(), 0
        seconds: list[float] = []
        replaying = self._graphs.replaying(method) if self._graphs else nullcontext()
        with self._streams.torch(purpose, self._round), replaying:
            while not seconds or not rule.ends(now, best):
                start, epoch, taken, read_before = time.perf_counter(), now.epoch + 1, now.step, self.slices_read
                self.network.train()
                losses, sizes = [], []
                for rows in batched(order.permutation(count), self.batch_size):
                    if taken == rule.steps:
                        break
                    with self.autocast():
                        value = step(rows, epoch)
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                    optimizer.step()
                    torch.clear_autocast_cache()  # old weights, if a stream of predictions was not read to its end
                    losses.append(value.detach())
                    sizes.append(len(rows))
                    taken += 1
                read += self.slices_read - read_before
                mean_loss = _mean(losses, sizes, f"of {purpose} must be finite, it is {{}} in epoch {epoch}", lr)
                now = Point(epoch, taken, validate() if rule.validates(epoch, taken, validated) else None)
                seconds.append(time.perf_counter() - start)
                self._on_epoch(epoch, passes, mean_loss, now.validation.loss if now.validation else None)
                validated = now if now.validation else validated
                if now.better_than(best, rule.stop):
                    best = now
                    if not rule.keeps_last:
                        weights = self.snapshot()
        if best is None:
            raise StrategyError(
                f"the validation loss of {purpose} must be finite at least once, it was not in {now.epoch} epochs: "
                f"lower the learning rate, now {lr}"
            )
        if not rule.keeps_last:
            self.network.load_state_dict(weights)
        self.network.eval()
        trim_memory()  # the peak of training would otherwise add to that of the next query
        kept = best.validation
        summary = FitSummary(
            purpose=purpose,
            epochs=now.epoch,
            best_epoch=best.epoch,
            steps=now.step,
            best_step=best.step,
            slices=read,
            val_loss=kept.loss if kept else None,
            val_dice=kept.dice if kept else None,
            notes=dict(notes()),
        )
        self.log.append(TrainingLog(summary, tuple(seconds)))
        return summary

    def validate(self) -> Validation:
        """The supervised loss over all known pixels and the mean volume Dice of the validation slices."""
        if self.validation is None:
            raise StrategyError("validation needs validation cases, protocol.validation=none leaves none")
        labeled, slices = self.validation, self.validation.slices
        parts, overlaps = [], []
        with eval_mode(*self.network.modules()), torch.no_grad():
            for ids in batched(np.arange(len(slices)), self.inference_batch):
                batch = self.batch(slices, ids, labeled.masks(ids))
                with self.autocast():
                    logits = self.network(batch.images)
                parts.append((batch.supervised(logits), batch.known.sum()))
                overlaps.append(overlap(logits, batch))
        return Validation(mean_over_pixels(parts), volume_dice(overlaps, slices.case))

    def batch(self, slices: SliceStack, ids: Ids, masks: NDArray[np.uint8], *, augmented: bool = False) -> Batch:
        """Slices and their (b, h, w) masks on the device, augmented if requested."""
        return self._batch(self.images(slices, ids), to_device(masks, self.device), slices, augmented=augmented)

    def _batch(self, batch: Images, masks: Tensor, slices: SliceStack, *, augmented: bool) -> Batch:
        """Images of some `slices` with their (b, h, w) uint8 masks."""
        images, valid = batch
        targets = masks[:, None].float()
        if augmented:
            images, targets, valid = augment(images, targets, valid)
        if slices.known is None:
            return Batch(images, targets, valid, valid, self._criterion)
        labeled = targets != UNKNOWN
        return Batch(images, targets * labeled, valid, valid * labeled, self._criterion)

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
