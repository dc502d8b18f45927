"""The loop: fit, evaluate, query, buy; round after round, and from where it was when it is started again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
import torch
from torch import nn

from albench.config import RunConfig
from albench.data import split_volumes
from albench.data.prepared import Prepared
from albench.errors import ConfigError, StrategyError
from albench.masks import Mask
from albench.pool import Oracle, Pool, initial_slices
from albench.query import Query, check_query
from albench.runs.cost import Clock, environment
from albench.runs.snapshots import Arrays, pictures
from albench.runs.store import Record, RunStore
from albench.strategy import Round, Strategy
from albench.streams import Streams
from albench.training.device_cache import DeviceCache
from albench.training.evaluation import Evaluation, evaluate, showcase
from albench.training.learner import Learner, Weights
from albench.training.networks import Task
from albench.training.shared_round_zero import FOLDER as SHARED
from albench.training.shared_round_zero import fit_round_zero


@dataclass(frozen=True)
class Execution:
    """How a run is computed and kept; not part of its identity.

    Attributes:
        device: where to compute.
        keep_weights: keep every round's weights, not only the last.
        share: take round 0 from another run in the same folder that trains it alike (see `round_zero`).
        compile: pass the network through torch.compile. As another device does, it changes the last digits
            and what dropout draws.
    """

    device: torch.device
    keep_weights: bool = False
    share: bool = True
    compile: bool = False


class RunCallback(Interface):
    """What is told while a run goes on."""

    def phase(self, round_index: int, name: str) -> None:
        """A round has come to `fit`, `evaluate` or `query`."""

    def epoch(self, epoch: int, epochs: int, loss: float, val_loss: float) -> None:
        """An epoch of a training is over."""

    def round(self, record: Record) -> None:
        """A round is finished and stored."""


class NullCallback:
    """A display that shows nothing; a subclass says only what it wants to."""

    def phase(self, round_index: int, name: str) -> None:
        """Say nothing."""

    def epoch(self, epoch: int, epochs: int, loss: float, val_loss: float) -> None:
        """Say nothing."""

    def round(self, record: Record) -> None:
        """Say nothing."""


def run(
    config: RunConfig,
    strategy: Strategy,
    prepared: Prepared,
    out: Path,
    execution: Execution,
    display: RunCallback,
) -> RunStore:
    """Run a strategy to the end, or continue it after its last finished round.

    Returns:
        The store, with all records.

    Raises:
        StrategyError: the strategy broke a rule.
        StoreError: the run cannot be written.
    """
    with _naming(strategy):
        bench = _Bench(config, strategy, prepared, execution, display)
    with RunStore.open(out, config) as store, _naming(strategy):
        store.tidy(keep_weights=execution.keep_weights)
        if not store.finished:
            pool, pseudo, weights = bench.begin(store)
        while not store.finished:
            clock = Clock(execution.device)
            ctx = bench.round(len(store.records), pool, pseudo, weights)
            with clock.phase("fit"), bench.phase(ctx, "fit"):
                shared = bench.fit(ctx, out)
            trainings = len(ctx.learner.log)
            with clock.phase("evaluate"), bench.phase(ctx, "evaluate"):
                test, val = evaluate(ctx.learner, bench.test), evaluate(ctx.learner, bench.val)
            with clock.phase("query"), bench.phase(ctx, "query"):
                query = strategy.query(ctx) if ctx.budget else Query.nothing()
                check_query(query, pool, ctx.budget)
            steps = sum(fit.steps for fit in ctx.learner.log[trainings if shared else 0 :])
            record = bench.record(ctx, query, test, val, trainings) | {"cost": clock.cost() | {"steps": steps}}
            bought = bench.oracle.annotate(query.ids, ctx.budget)
            query = replace(query, arrays={**query.arrays, **_asked(pool, bought)})
            pseudo = {i: mask for i, mask in query.pseudo.items() if i not in bought}
            weights = ctx.learner.weights()
            store.append(record, query, pseudo, pool, weights, test.shown, keep_weights=execution.keep_weights)
            pool = pool.with_masks(bought)
            display.round(record)
    return store


class _Bench:
    """What stays the same in all rounds of a run."""

    def __init__(
        self,
        config: RunConfig,
        strategy: Strategy,
        prepared: Prepared,
        execution: Execution,
        display: RunCallback,
    ) -> None:
        self.config, self.strategy, self.execution, self.display = config, strategy, execution, display
        self.streams = Streams(config.seed, config.title)
        protocol = config.protocol
        self.split = split_volumes(prepared.cases, prepared.patients, protocol.split, protocol.split_seed)
        self.val = prepared.labeled_stack(self.split.val)
        self.test = prepared.labeled_stack(self.split.test)
        train = prepared.labeled_stack(self.split.train)
        self.slices, self.oracle = train.slices, Oracle(train)
        self.device_cache = DeviceCache(prepared.images, execution.device)
        self.network = self._network()
        if execution.compile:
            self.network.compile()
        self._initial_weights = {key: value.clone() for key, value in self.network.state_dict().items()}

    def begin(self, store: RunStore) -> tuple[Pool, Mapping[int, Mask], Weights | None]:
        """The pool, the pseudo-labels and the weights at the end of the last finished round."""
        pool = Pool(self.slices)
        initial = self.strategy.initial(initial_slices(self.slices, self.config.protocol.interval), pool)
        store.begin(
            self.split, initial, pool, environment(self.execution.device) | {"strategy_kind": self.strategy.kind}
        )
        shown = showcase(self.test)
        store.illustrate(pictures(self.test.slices, shown, self.test.masks(shown)))
        state = store.resume(initial)
        for ids in state.purchases:
            pool = pool.with_masks(self.oracle.annotate(ids, len(ids)))
        return pool, state.pseudo, state.weights

    def round(self, index: int, pool: Pool, pseudo: Mapping[int, Mask], previous: Weights | None) -> Round:
        """What the strategy is given: a learner at its starting weights, and no budget in the last round."""
        protocol, training = self.config.protocol, self.config.training
        start = previous if protocol.warm_start else None
        self.network.load_state_dict(start or self._initial_weights)
        learner = Learner(
            self.network,
            self.slices,
            self.val,
            training,
            self.streams,
            round_index=index,
            lr=training.lr_incremental if start else training.lr,
            device=self.execution.device,
            on_epoch=self.display.epoch,
            device_cache=self.device_cache,
        )
        budget = min(protocol.budget, len(pool.unlabeled)) if index < protocol.rounds else 0
        rng = self.streams.numpy("query", index)
        return Round(index, budget, pool, learner, pseudo, previous, rng, protocol.interval)

    def fit(self, ctx: Round, out: Path) -> bool:
        """Train; gives whether another run's training was taken instead."""
        if ctx.index == 0 and self.execution.share and not self.execution.compile:
            return fit_round_zero(self.strategy, ctx, self.config, out / SHARED)
        self.strategy.fit(ctx)
        return False

    @contextmanager
    def phase(self, ctx: Round, name: str) -> Iterator[None]:
        """Tell the display, and seed torch's generators for what the strategy draws itself."""
        self.display.phase(ctx.index, name)
        try:
            with self.streams.torch(name, ctx.index):
                yield
        except torch.cuda.OutOfMemoryError as error:
            raise ConfigError(
                f"a batch must fit into the memory of the GPU, in {name} of round {ctx.index} it does not with "
                f"training.batch_size={self.config.training.batch_size}: lower it, or let fewer runs share the GPU"
            ) from error

    def record(self, ctx: Round, query: Query, test: Evaluation, val: Evaluation, fits: int) -> Record:
        """What was measured in a round; of the trainings in the log, the first `fits` belong to `fit`."""
        labeled, total = len(ctx.pool.labeled), len(self.slices)
        return {
            "round": ctx.index,
            "labeled": labeled,
            "unlabeled": total - labeled,
            "share": labeled / total,
            "effort": self.oracle.effort(),
            "pseudo": self.oracle.evaluate_masks(ctx.pseudo),
            "notes": {name: np.asarray(value).tolist() for name, value in query.notes.items()},
            "predictions": {name: self.oracle.evaluate_masks(masks) for name, masks in query.predictions.items()},
            "test": test.summary(),
            "val": val.summary(),
            "cases": {name: scores.metrics() for name, scores in test.cases.items()},
            "fit": [asdict(fit) for fit in ctx.learner.log[:fits]],
            "query": [asdict(fit) for fit in ctx.learner.log[fits:]],
        }

    def _network(self) -> nn.Module:
        channels, height, width = self.slices.shape
        with self.streams.torch("weights"):
            return self.strategy.network(Task(channels, (height, width), self.config.network))


def _asked(pool: Pool, bought: Mapping[int, Mask]) -> Arrays:
    """Pictures of the most wanted slices, for figures."""
    ids = list(bought)[:6]
    if not ids:
        return {}
    shown = pictures(pool.slices, ids, np.stack([bought[i] for i in ids]), longest=160)
    return {f"asked_{name}": values for name, values in shown.items()}


@contextmanager
def _naming(strategy: Strategy) -> Iterator[None]:
    """Say in every refusal which strategy is refused."""
    try:
        yield
    except StrategyError as error:
        raise StrategyError(f"strategy '{strategy.name}': {error}") from error
