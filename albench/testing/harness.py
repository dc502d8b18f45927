"""A toy dataset and a harness that queries a strategy on it again and again, for the contract kit.

The cases differ in size and are padded, the slices are not square, some are empty, and the network is small.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from albench.config import Protocol, Training
from albench.data import LabeledStack, Prepared, SliceStack
from albench.masks import UNKNOWN, Ids, Mask
from albench.network import Network, Task
from albench.oracle import MaskOracle
from albench.pool import Pool
from albench.query import Query, check_query
from albench.registry import DEFAULT_NETWORK, NETWORKS, find
from albench.start import start_slices
from albench.strategy import OracleDraw, Round, Strategy
from albench.streams import Streams
from albench.training.learner import Learner, Weights

TRAINING = Training(epochs=1, patience_steps=0, min_steps=0, batch_size=8, lr=1e-3, lr_incremental=1e-3)
PROTOCOL = Protocol(interval=4, budget=3, rounds=2, split=(5, 1, 1))
TRAIN = ("a", "b", "c", "d", "e")
BUDGET = 4


class StrategyHarness:
    """Queries a strategy on the toy dataset, each time from the weights after its `fit` and from nothing else.

    Attributes:
        strategy: under test.
        prepared: the toy dataset.
        labeled: its training slices with their truth.
        weights: of the network after `fit`.
        pseudo: {(case, position): mask} of the first query, which later contexts contain.
    """

    def __init__(self, strategy: Strategy, prepared: Prepared | None = None) -> None:
        self.strategy = strategy
        self.prepared = prepared or toy_dataset()
        self.labeled = self.prepared.labeled_stack(TRAIN)
        self.pseudo: dict[tuple[str, int], Mask] = {}
        self._built: nn.Module | None = None
        self.weights = self._fitted()
        first = self.query()
        self.pseudo = dict(zip(self.named(list(first.pseudo)), first.pseudo.values(), strict=True))

    def query(
        self,
        *,
        seed: int = 0,
        cases: Sequence[str] = TRAIN,
        truth: LabeledStack | None = None,
        annotated: Ids | None = None,
        budget: int = BUDGET,
        rebuild: bool = True,
        watch: Callable[[Round, Query | OracleDraw], None] = lambda ctx, query: None,
    ) -> Query:
        """A valid query.

        Args:
            seed: of the random streams.
            cases: of the pool, in this order.
            truth: of the pool; None takes the true masks of `cases`.
            annotated: ids of the labeled slices; None takes the initial slices.
            budget: slices to query.
            rebuild: ask the strategy for its network again, as each run does; a copy of one is made in less time.
            watch: called with the context and what the strategy returned, while the random streams are still seeded.

        Raises:
            StrategyError: the query breaks a rule.
        """
        labeled = truth or self.prepared.labeled_stack(cases)
        ctx = self._round(labeled, seed, annotated, budget, index=1, rebuild=rebuild)
        ctx.learner.network.load_state_dict(self.weights)
        with _streams(seed, "query"):
            asked = self.strategy.query(ctx)
            watch(ctx, asked)
        query = MaskOracle(labeled).answer(asked, ctx.pool, ctx.budget, uses_labels=self.strategy.uses_labels)
        check_query(query, ctx.pool, ctx.budget)
        return query

    def named(self, ids: Ids | list[int], cases: Sequence[str] = TRAIN) -> list[tuple[str, int]]:
        """Slices by case and position, whatever the order of the pool."""
        slices = self.prepared.stack(cases)
        return [(slices.cases[slices.case[i]], int(slices.position[i])) for i in ids]

    def _fitted(self) -> Weights:
        ctx = self._round(self.labeled, 0, None, BUDGET, index=0)
        with _streams(0, "fit"):
            self.strategy.fit(ctx)
        return ctx.learner.weights()

    def _round(
        self,
        labeled: LabeledStack,
        seed: int,
        annotated: Ids | None,
        budget: int,
        *,
        index: int,
        rebuild: bool = True,
    ) -> Round:
        slices = labeled.slices
        if annotated is None:
            annotated = start_slices(slices, "interval", PROTOCOL.interval, Streams(seed, "contract"))
        pool = Pool(slices).with_masks(MaskOracle(labeled).annotate(annotated, len(annotated)))
        streams = Streams(seed, "contract")
        network = self._network(slices, streams, rebuild=rebuild)
        validation = self.prepared.labeled_stack(["f"])
        learner = Learner(
            network, slices, validation, TRAINING, streams, round_index=index, lr=1e-3, device=torch.device("cpu")
        )
        rng = streams.numpy("query", index)
        names = self.named(pool.unlabeled, slices.cases)
        pseudo = {int(i): self.pseudo[n] for i, n in zip(pool.unlabeled, names, strict=True) if n in self.pseudo}
        previous = self.weights if index else None
        return Round(index, budget, pool, learner, pseudo, previous, rng, PROTOCOL.interval, PROTOCOL.rounds)

    def _network(self, slices: SliceStack, streams: Streams, *, rebuild: bool) -> nn.Module:
        if rebuild or self._built is None:
            channels, height, width = slices.shape
            with streams.torch("weights"):
                built = self.strategy.network(Task(channels, (height, width), small_network(), len(slices.classes)))
            self._built = copy.deepcopy(built)
            return built
        return copy.deepcopy(self._built)


@contextmanager
def _streams(seed: int, purpose: str) -> Iterator[None]:
    """The random state in which the loop calls a strategy."""
    with Streams(seed, "contract").torch(purpose, 1):
        yield


def small_network() -> Network:
    """The default network with as few channels as it can have."""
    return find(NETWORKS, DEFAULT_NETWORK)(backbone="resnet18", width=0.125, decoder_width=4, stem_stride=2)


def toy_dataset() -> Prepared:
    """Seven cases of different size, each with a bright ball in noise."""
    rng = np.random.default_rng(0)
    height, width = 48, 32
    images, masks, counts, valid = [], [], [], []
    for index in range(7):
        depth, rows, columns = 7 + index % 3, height - 4 * (index % 2), width - 3 * (index % 3)
        z, y, x = np.meshgrid(*(np.arange(side) for side in (depth, rows, columns)), indexing="ij")
        center = rng.uniform((depth * 0.4, rows * 0.3, columns * 0.3), (depth * 0.6, rows * 0.7, columns * 0.7))
        distance = np.hypot(np.hypot(y - center[1], x - center[2]), 2 * (z - center[0]))
        mask = distance < rng.uniform(5, 9)
        image = rng.normal(size=mask.shape) + rng.uniform(1, 3) * mask
        pad = ((0, 0), (0, height - rows), (0, width - columns))
        images.append(np.pad((image - image.mean()) / image.std(), pad, constant_values=-2))
        masks.append(np.pad(mask, pad))
        counts.append(depth)
        valid.append((rows, columns))
    stacked = np.concatenate(images)[:, None].astype(np.float16)
    stacked.flags.writeable = False  # like a memory map
    return Prepared(
        key="contract",
        images=stacked,
        masks=np.concatenate(masks).astype(np.uint8),
        cases=tuple("abcdefg"),
        counts=np.array(counts),
        valid=np.array(valid),
        spacing=np.ones((7, 3)),
        patients=tuple("abcdefg"),
    )


def stored(prepared: Prepared, folder: Path) -> Prepared:
    """The same with images and masks in files, as prepared data are."""
    arrays = {}
    for name, values in (("images", prepared.images), ("masks", prepared.masks)):
        np.save(folder / f"{name}.npy", values)
        arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return replace(prepared, **arrays)


def toy_classes() -> Prepared:
    """The same with two classes, a column without known labels in every slice, and slices without any."""
    one = toy_dataset()
    masks = one.masks.copy()
    masks[:, masks.shape[1] // 2 :] *= 2
    masks[:, :, 8] = UNKNOWN
    masks[2::5] = UNKNOWN
    starts = np.cumsum([0, *one.counts])
    unknown = [int((masks[start:stop] == UNKNOWN).sum()) for start, stop in pairwise(starts)]
    return replace(one, masks=masks, classes=("upper", "lower"), unknown=np.array(unknown))
