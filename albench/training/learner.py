"""The learner: a network with its weights, trained and asked. The only thing in a run that changes in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from albench.config import Training
from albench.data import LabeledStack, SliceStack
from albench.errors import StrategyError
from albench.masks import Ids, Mask
from albench.streams import Streams
from albench.training.augment import augment
from albench.training.device import to_device
from albench.training.device_cache import DeviceCache
from albench.training.losses import focal
from albench.training.memory import trim_memory
from albench.training.networks import Segmenter

Weights = Mapping[str, Tensor]

T = TypeVar("T")


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


class Images(NamedTuple):
    """Slices without their masks.

    Attributes:
        images: (b, c, h, w) float32.
        valid: (b, 1, h, w) float32, 1 on pixels that count, 0 on padding.
    """

    images: Tensor
    valid: Tensor


class Loss(Interface):
    """What `Learner.fit` minimizes: `Strategy.loss`."""

    def __call__(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """The loss of one batch; `unlabeled` gives batches of the whole pool; epochs count from 1."""


@dataclass(frozen=True)
class FitSummary:
    """What one training did.

    Attributes:
        purpose: what was trained.
        epochs: passes made.
        best_epoch: the pass whose weights were kept, from 1.
        steps: optimizer steps.
        val_loss: validation loss of the kept weights.
    """

    purpose: str
    epochs: int
    best_epoch: int
    steps: int
    val_loss: float


EpochReport = Callable[[int, int, float, float], None]


class Learner:
    """A network in one round of a run, in evaluation mode but in a training step.

    Args:
        network: maps (b, c, h, w) images to (b, 1, h, w) logits.
        slices: the training slices; ids are rows of it.
        validation: other cases' slices with their truth, which decides when to stop.
        training: epochs, rates and the loss's constants.
        streams: random streams of the run.
        round_index: the round, from 0.
        lr: learning rate of this round.
        device: where to compute.
        on_epoch: called with epoch, epochs, training loss, validation loss.
        device_cache: the prepared images on the device, which learners of one run share.
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
        # torch 2.13 with several threads corrupts memory in the backward pass of narrow channels-last networks on a CPU
        self._memory = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.network = network.to(device).to(memory_format=self._memory).eval()  # type: ignore[call-overload]
        self.slices = slices
        self.validation = validation
        self.training = training
        self.lr = lr
        self.device = device
        self.log: list[FitSummary] = []
        self._streams = streams
        self._round = round_index
        self._on_epoch = on_epoch
        self._device_cache = device_cache or DeviceCache(slices.images, device)
        self._criterion = partial(
            focal,
            alpha=training.focal_alpha,
            gamma=training.focal_gamma,
            alpha_mode=training.focal_alpha_mode,
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and running statistics, on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def fit(self, examples: Mapping[int, Mask], loss: Loss) -> FitSummary:
        """Train on labeled slices until the supervised loss on the validation slices stops falling.

        Args:
            examples: {slice id: (h, w) mask}.
            loss: what to minimize.

        Raises:
            StrategyError: there is nothing to train on, or the loss is not finite.
        """
        ids = np.array(sorted(examples), dtype=np.int64)
        masks = np.stack([examples[int(i)] for i in ids]) if len(ids) else np.empty(0, dtype=np.uint8)
        targets = to_device(masks, self.device)
        unlabeled = self._unlabeled_batches()

        def step(rows: Ids, epoch: int) -> Tensor:
            chosen = targets[to_device(rows, self.device)]
            batch = self._batch(self._images(self.slices, ids[rows]), chosen, augmented=self.training.augment)
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
        """Minimize a loss until the validation loss stops falling; keep the weights at which it was lowest.

        Adam with default betas. Batches come in an order that depends on the seed, the purpose and the round only.

        Args:
            step: the loss of a batch, from its rows (b,) in [0, count) and the epoch, from 1.
            count: number of training examples.
            validation_loss: called after every epoch; leaves the network as it is.
            purpose: names the random streams.
            lr: Adam's learning rate.
            patience: stop after this many epochs without a lower validation loss; None takes that of the training.

        Raises:
            StrategyError: there is nothing to train on, or the loss is not finite.
        """
        if count == 0:
            raise StrategyError("training needs at least one labeled slice, got none: label slices before round 0")
        patience = patience or self.training.patience
        order = self._streams.numpy(f"order of {purpose}", self._round)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, fused=self.device.type == "cuda" or None)
        best, best_loss, best_epoch, steps = self._copy(), math.inf, 0, 0
        with self._streams.torch(purpose, self._round):
            for epoch in range(1, self.training.epochs + 1):
                self.network.train()
                losses, sizes = [], []
                for rows in batched(order.permutation(count), self.training.batch_size):
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
                self._on_epoch(epoch, self.training.epochs, mean_loss, val_loss)
                if val_loss < best_loss:
                    best, best_loss, best_epoch = self._copy(), val_loss, epoch
                elif epoch - best_epoch >= patience:
                    break
        if best_epoch == 0:
            raise StrategyError(
                f"the validation loss of {purpose} must be finite at least once, it never was in {epoch} epochs: lower "
                f"the learning rate, now {lr}"
            )
        self.network.load_state_dict(best)
        self.network.eval()
        trim_memory()  # what training needed, or it adds to what the next query needs
        self.log.append(FitSummary(purpose, epoch, best_epoch, steps, best_loss))
        return self.log[-1]

    def predict(self, slices: SliceStack, ids: Ids) -> Iterator[tuple[Ids, Tensor, Tensor]]:
        """Foreground probabilities, streamed batch by batch.

        Yields:
            ids (b,), probabilities (b, h, w) float32 and valid pixels (b, h, w) float32, on the device.
        """

        def forward(some: Ids, batch: Images) -> tuple[Ids, Tensor, Tensor]:
            return some, torch.sigmoid(self.network(batch.images).float())[:, 0], batch.valid[:, 0]

        return self.stream(slices, ids, forward)

    def predict_mc(self, slices: SliceStack, ids: Ids, passes: int) -> Iterator[tuple[Ids, Tensor, Tensor]]:
        """Foreground probabilities under dropout: one mask per slice and pass, all other modules in evaluation mode.

        What dropout does not reach, the encoder and the decoder's skip connections, runs once per slice. Draws are
        torch's global generator's.

        Yields:
            ids (b,), probabilities (passes, b, h, w) float32 and valid pixels (b, h, w) float32, on the device.

        Raises:
            StrategyError: the network has no dropout, or is no Segmenter.
        """
        network = self._segmenter("dropout samples")
        dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout) and module.p > 0]
        if not dropouts:
            raise StrategyError(
                "dropout samples need a network with dropout, network.dropout is 0: use --set network.dropout=0.5"
            )

        def forward(some: Ids, batch: Images) -> tuple[Ids, Tensor, Tensor]:
            features = network.prepare(network.encode(batch.images))
            for dropout in dropouts:
                dropout.train()
            valid = batch.valid[:, 0]
            probs = valid.new_empty(passes, *valid.shape)
            for sample in probs:
                torch.sigmoid(network.decode(features, valid.shape[-2:])[:, 0].float(), out=sample)
            return some, probs, valid

        return self.stream(slices, ids, forward)

    def embed(self, slices: SliceStack, ids: Ids, *, pool: bool = True) -> Tensor:
        """Bottleneck features of slices.

        Args:
            ids: at least one.
            pool: average over the valid area; otherwise flatten.

        Returns:
            (n, d) float32 features in the order of `ids`, on the device; d is the channels of r4, times its area if
            flattened.

        Raises:
            StrategyError: the network is no Segmenter.
        """
        network = self._segmenter("embeddings")

        def forward(_: Ids, batch: Images) -> tuple[Tensor]:
            features = network.encode(batch.images).r4.float()
            if not pool:
                return (features.flatten(1),)
            share = interpolate(batch.valid, features.shape[-2:], mode="area")
            return ((features * share).sum((2, 3)) / share.sum((2, 3)),)

        return concat_batches(self.stream(slices, ids, forward), len(ids))[0]

    def stream(self, slices: SliceStack, ids: Ids, forward: Callable[[Ids, Images], T]) -> Iterator[T]:
        """Apply `forward` to ids (b,) and their images, batch by batch, in evaluation mode and without gradients.

        Yields:
            What `forward` returns, and keeps nothing of it: a `map` holds no batch while it makes the next.
        """
        modules, autocast = tuple(self.network.modules()), self.autocast()

        def apply(some: Ids) -> T:
            with eval_mode(*modules), torch.no_grad(), autocast:
                return forward(some, self._images(slices, some))

        return map(apply, batched(ids, self.inference_batch))

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
        """Slices and their (b, h, w) masks on the device, augmented on demand."""
        return self._batch(self._images(slices, ids), to_device(masks, self.device), augmented=augmented)

    def autocast(self) -> torch.autocast:
        """bfloat16 where the device is fast at it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    @property
    def inference_batch(self) -> int:
        """Slices of a batch without gradients: on a CPU what the caches hold, on a GPU as many again.

        It keeps no activations, so it fits into the memory of a GPU that a training step fits into.
        """
        return self.training.batch_size * (2 if self.device.type == "cuda" else 1)

    def _copy(self) -> dict[str, Tensor]:
        """The network's weights and running statistics, on the device."""
        return {key: value.detach().clone() for key, value in self.network.state_dict().items()}

    def _batch(self, slices: Images, masks: Tensor, *, augmented: bool) -> Batch:
        """Slices with their (b, h, w) uint8 masks."""
        images, valid = slices
        targets = masks[:, None].float()
        if augmented:
            images, targets, valid = augment(images, targets, valid)
        return Batch(images, targets, valid, self._criterion)

    def _segmenter(self, what: str) -> Segmenter:
        if not isinstance(self.network, Segmenter):
            raise StrategyError(
                f"{what} need a network that is an albench.training.networks.Segmenter, got "
                f"{type(self.network).__name__}: derive the strategy's network from it"
            )
        return self.network

    def _images(self, slices: SliceStack, ids: Ids) -> Images:
        images = self._device_cache.batch(slices.images, slices.rows[ids]).float()
        images = images.contiguous(memory_format=self._memory)
        height, width = images.shape[-2:]
        valid = to_device(slices.valid[ids], self.device)
        inside_y = (torch.arange(height, device=self.device) < valid[:, :1]).float()
        inside_x = (torch.arange(width, device=self.device) < valid[:, 1:]).float()
        return Images(images, inside_y[:, None, :, None] * inside_x[:, None, None, :])

    def _unlabeled_batches(self) -> Iterator[Images]:
        """An endless shuffled stream over all training slices, augmented as in training and read when pulled."""
        order = self._streams.numpy("unlabeled", self._round)
        while True:
            for rows in batched(order.permutation(len(self.slices)), self.training.batch_size):
                images, valid = self._images(self.slices, rows)
                if self.training.augment:
                    images, _, valid = augment(images, valid, valid)
                yield Images(images, valid)


def concat_batches(parts: Iterator[tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
    """(count, ...) tensors from a stream of (b, ...) ones, each as `torch.cat` would make it.

    They are written in place: parts that are kept between large temporary tensors would split malloc's heap.
    """
    first = next(parts)
    whole = tuple(map(partial(_room, count), first))
    start = 0
    for part in chain([first], parts):
        for room, tensor in zip(whole, part, strict=True):
            room[start : start + len(tensor)] = tensor
        start += len(part[0])
    return whole


def _room(count: int, like: Tensor) -> Tensor:
    """An empty tensor for `count` elements of (b, ...), in its memory format."""
    last = like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)
    memory = torch.channels_last if last else torch.contiguous_format
    return torch.empty(count, *like.shape[1:], dtype=like.dtype, device=like.device, memory_format=memory)


def mean_over_pixels(parts: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The mean loss of batches, from the mean and the number of pixels of each.

    They are read at the end: reading one makes the CPU wait for the device, and then the device for the CPU.
    """
    losses, pixels = (torch.stack(values).tolist() for values in zip(*parts, strict=True))
    return sum(loss * count for loss, count in zip(losses, pixels, strict=True)) / sum(pixels)


def _mean(losses: Sequence[Tensor], sizes: Sequence[int], rule: str, lr: float) -> float:
    """The mean over examples of losses of batches, which are read once an epoch: reading stops the device's queue.

    Raises:
        StrategyError: one of them is not finite.
    """
    values = torch.stack([loss.double() for loss in losses]).tolist()
    for value in values:
        if not math.isfinite(value):
            raise StrategyError(f"the loss {rule.format(value)}: lower the learning rate, now {lr}")
    return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Put modules in evaluation mode for a block, and each back in the mode it was in.

    Name all that count: a network's are `*network.modules()`.
    """
    modes = [module.training for module in modules]
    for module in modules:
        if module.training:
            module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            if module.training != mode:  # to set it costs far more than to look
                module.training = mode


def batched(ids: Ids, size: int) -> Iterator[Ids]:
    """Consecutive parts of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
