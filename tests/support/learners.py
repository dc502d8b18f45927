"""A learner on seven small slices with padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from albench.config import Training
from albench.data import LabeledStack, Prepared, SliceStack
from albench.masks import Ids, Mask
from albench.network import Network, Task
from albench.networks.residual import Residual
from albench.streams import Streams
from albench.training.batches import Batch, Images
from albench.training.device import to_device
from albench.training.device_cache import DeviceCache
from albench.training.evaluation import Evaluation, evaluate
from albench.training.learner import Learner

CPU = torch.device("cpu")
OPTIONS = Residual(backbone="resnet18", width=0.125, decoder_width=4, stem_stride=2)


def padded() -> LabeledStack:
    """Seven slices of two cases of different size, padded to 32 x 48."""
    rng = np.random.default_rng(0)
    counts, valid = np.array([3, 4]), np.array([[20, 33], [32, 48]])
    images = rng.normal(size=(7, 1, 32, 48)).astype(np.float16)
    masks = np.zeros((7, 32, 48), np.uint8)
    for row, (height, width) in enumerate(np.repeat(valid, counts, axis=0)):
        masks[row, :height, :width] = rng.random((height, width)) > 0.6
    prepared = Prepared("key", images, masks, ("a", "b"), counts, valid, np.ones((2, 3)), ("a", "b"))
    return prepared.labeled_stack(("a", "b"))


def read(cache: DeviceCache, slices: SliceStack, ids: Ids) -> Tensor:
    """(b, c, H, W) images of slices, by way of a cache."""
    return cache.batch(slices, ids, to_device(slices.rows_with_context(ids), cache.device))


def make_learner(
    network: nn.Module | None = None,
    *,
    options: Network = OPTIONS,
    seed: int = 0,
    round_index: int = 0,
    **settings: Any,
) -> Learner:
    """A learner whose pool and validation set are the padded slices, in batches of three, three and one.

    Training stops as in the STAR paper, unless a test chooses otherwise.
    """
    streams, labeled = Streams(seed, "padded"), padded()
    with Streams(0, "padded").torch("weights"):
        network = network or Task(1, (32, 48), options).build()
    stop: dict[str, Any] = {"stop": "val_loss", "patience_steps": 0, "min_steps": 0, "val_steps": 0}
    training = Training(**stop | {"epochs": 2, "batch_size": 3, "lr": 1e-3} | settings)
    return Learner(
        network, labeled.slices, labeled, training, streams, round_index=round_index, lr=training.lr, device=CPU
    )


def examples(count: int = 7) -> dict[int, Mask]:
    """{id: mask} of the first of these slices."""
    masks = padded().masks(np.arange(count))
    return dict(enumerate(masks))


def supervised(model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
    """The default loss of a strategy."""
    return batch.supervised(model(batch.images))


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether weights are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def evaluation_of(learner: Learner, labeled: LabeledStack) -> Evaluation:
    """The evaluation of a labeled set with a tolerance of 1 mm, scored by two threads."""
    with ThreadPoolExecutor(2) as threads:
        return evaluate(learner, labeled, 1.0, threads).result()


def twice(model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
    """A loss of two passes."""
    return batch.supervised(model(batch.images)) + batch.supervised(model(batch.images.flip(-1)))


class Wrapped(nn.Module):
    """A network around another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


class Drifting(Wrapped):
    """A network whose output is another one in every pass."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1, h, w) logits."""
        self.calls += 1
        logits: Tensor = self.inner(images) * self.calls
        return logits
