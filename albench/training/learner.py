"""Training a network until a rule ends it, and a log of all trainings. Everything else in a run is immutable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
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
from albench.training.ahead import sent_ahead
from albench.training.augment import Moves, augment, draw_moves
from albench.training.batches import Batch, Images, batched, mean_over_pixels
from albench.training.device import copy_all, to_device
from albench.training.device_cache import DeviceCache
from albench.training.examples import Examples
from albench.training.graphs import PassGraphs
from albench.training.losses import focal
from albench.training.overlap import overlap, volume_dice
from albench.training.predictor import Place, Predictor, eval_mode
from albench.training.step_allowance import StepAllowance
from albench.training.stopping import Point, RepeatedStop, StopRule, Validation

Weights = Mapping[str, Tensor]

TrainingReport = Callable[["TrainingLog"], None]
"""A function of a training that has ended."""

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
        on_training: called after every training.
        device_cache: the prepared images on the device, shared by all learners of a run.
        score_unknown: as in `Predictor`.
        graphs: of the passes of the network, which are replayed in training; None runs them kernel by kernel.
        recorded: trainings that are repeated, in order: each ends and keeps weights as recorded, whatever the
            validation says.
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
        on_training: TrainingReport = lambda training: None,
        device_cache: DeviceCache | None = None,
        score_unknown: bool = False,
        graphs: PassGraphs | None = None,
        recorded: Sequence[FitSummary] = (),
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
        self._on_training = on_training
        self._graphs = graphs
        self._recorded = list(recorded)
        self._criterion = partial(
            focal,
            alpha=training.focal_alpha,
            gamma=training.focal_gamma,
            alpha_mode=training.focal_alpha_mode,
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the CPU."""
        return weights_of(self.network)

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the device."""
        now = self.network.state_dict()
        copy = {key: torch.empty_like(value) for key, value in now.items()}
        copy_all(now.values(), copy.values())
        return copy

    def exchange(self, weights: dict[str, Tensor]) -> None:
        """Exchange the network's weights and running statistics with those of a snapshot, without copying them."""
        for key, value in (*self.network.named_parameters(), *self.network.named_buffers()):
            if key in weights:
                value.data, weights[key] = weights[key], value.data

    def report(self, training: TrainingLog) -> None:
        """Add a training to the log."""
        self.log.append(training)
        self._on_training(training)

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
        labeled, unlabeled = Examples.of_masks(self.slices, examples, self.device), self._unlabeled_batches()

        def losses(parts: Sequence[Ids], epoch: int) -> Iterator[Tensor]:
            for (batch,) in self.batches(labeled, [rows[:, None] for rows in parts], augmented=self.training.augment):
                yield loss(self.network, batch, unlabeled, epoch)

        return self.optimize(
            losses, len(labeled), self.validate, purpose="training", lr=self.lr, share=share, notes=notes
        )

    def optimize(
        self,
        losses: Callable[[Sequence[Ids], int], Iterator[Tensor]],
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
            losses: of the batches of an epoch, one after the other, from their rows (b,) in [0, count) and the epoch,
                from 1; each is asked for when the step before it has been taken.
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
        recorded = self._recorded.pop(0) if self._recorded else None
        rule = RepeatedStop.after(rule, recorded) if recorded else rule
        passes = rule.passes(-(-count // self.batch_size))
        order = self._streams.numpy(f"order of {purpose}", self._round)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, fused=self.device.type == "cuda" or None)
        now = Point(0, 0, validate() if rule.keeps_start else None)
        validated, best, read = now, now if rule.keeps_start else None, 0
        weights = self.snapshot() if rule.keeps_start else {}
        seconds: list[float] = []
        replaying = self._graphs.replaying(method) if self._graphs else nullcontext()
        with self._streams.torch(purpose, self._round), replaying:
            while not seconds or not rule.ends(now, best):
                start, epoch, taken, read_before = time.perf_counter(), now.epoch + 1, now.step, self.slices_read
                self.network.train()
                parts = list(batched(order.permutation(count), self.batch_size))
                parts = parts if rule.steps is None else parts[: rule.steps - taken]
                asked, found = losses(parts, epoch), []
                for _ in parts:
                    with self.autocast():
                        value = next(asked)
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                    optimizer.step()
                    torch.clear_autocast_cache()  # old weights, if a stream of predictions was not read to its end
                    found.append(value.detach())
                taken += len(parts)
                read += self.slices_read - read_before
                sizes, rule_of_loss = list(map(len, parts)), f"of {purpose} must be finite, it is {{}} in epoch {epoch}"
                validation = validate() if rule.validates(epoch, taken, validated) else None  # launched before a read
                mean_loss = _mean(found, sizes, rule_of_loss, lr)
                now = Point(epoch, taken, validation)
                seconds.append(time.perf_counter() - start)
                self._on_epoch(epoch, passes, mean_loss, now.validation.loss if now.validation else None)
                validated = now if now.validation else validated
                if rule.keeps(now, best):
                    best = now
                    if not rule.keeps_last:
                        weights = self.snapshot()
        if best is None:
            raise StrategyError(
                f"the validation loss of {purpose} must be finite at least once, it was not in {now.epoch} epochs: "
                f"lower the learning rate, now {lr}"
            )
        if best is not now:
            copy_all(weights.values(), self.network.state_dict().values())
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
        if recorded:
            summary = replace(summary, val_loss=recorded.val_loss, val_dice=recorded.val_dice)
        self.report(TrainingLog(summary, tuple(seconds)))
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

    def batch(self, slices: SliceStack, ids: Ids, masks: NDArray[np.uint8]) -> Batch:
        """Slices and their (b, h, w) masks on the device."""
        images, valid = self.images(slices, ids)
        return self._batch(images, to_device(masks, self.device)[:, None].float(), valid, slices)

    def batches(
        self, examples: Examples, parts: Sequence[NDArray[np.int64]], *, augmented: bool
    ) -> Iterator[tuple[Batch, ...]]:
        """Batches of examples, one for each of the v columns of their rows; those of a row are augmented alike.

        Args:
            examples: labeled slices.
            parts: (b, v) rows of the examples of each batch.
            augmented: whether they are.
        """
        slices = examples.slices
        in_order = [rows.T.ravel() for rows in parts]  # one column after the other
        needed = (
            (torch.from_numpy(rows), *_needed(slices, examples.ids[rows], part.shape[1], augmented=augmented))
            for rows, part in zip(in_order, parts, strict=True)
        )
        for rows, part, (chosen, *more) in zip(in_order, parts, sent_ahead(needed, self.device), strict=True):
            images, valid = self.images(slices, examples.ids[rows], Place(*more[:2]))
            targets = examples.masks[chosen][:, None].float()
            if augmented:
                images, targets, valid = augment(images, targets, valid, Moves(*more[2:]))
            columns = zip(images.split(len(part)), targets.split(len(part)), valid.split(len(part)), strict=True)
            yield tuple(self._batch(*maps, slices) for maps in columns)

    def _batch(self, images: Tensor, targets: Tensor, valid: Tensor, slices: SliceStack) -> Batch:
        """(b, c, h, w) images of some `slices` with their (b, 1, h, w) masks and valid pixels."""
        if slices.known is None:
            return Batch(images, targets, valid, valid, self._criterion)
        labeled = targets != UNKNOWN
        return Batch(images, targets * labeled, valid, valid * labeled, self._criterion)

    def _unlabeled_batches(self) -> Iterator[Images]:
        """An endless, shuffled and augmented stream over all training slices; a batch is read when it is requested."""
        order = self._streams.numpy("unlabeled", self._round)
        while True:
            parts = list(batched(order.permutation(len(self.slices)), self.batch_size))
            needed = (_needed(self.slices, ids, augmented=self.training.augment) for ids in parts)
            for ids, (rows, sizes, *moves) in zip(parts, sent_ahead(needed, self.device), strict=True):
                images, valid = self.images(self.slices, ids, Place(rows, sizes))
                if moves:
                    images, _, valid = augment(images, valid, valid, Moves(*moves))
                yield Images(images, valid)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's weights and running statistics, on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _needed(slices: SliceStack, ids: Ids, columns: int = 1, *, augmented: bool) -> tuple[Tensor, ...]:
    """What the device must know to read slices, and to augment those of several columns alike."""
    moves = draw_moves(len(ids) // columns, slices.shape[1:]).repeated(columns) if augmented else ()
    return *Place.of(slices, ids), *moves


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
