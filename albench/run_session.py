"""The session of a run: everything that its rounds are made of, so that the loop can say what happens in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from albench.callback import RunCallback
from albench.encoder_decoder import check_parts
from albench.errors import ConfigError, MachineError, StoreError, StrategyError
from albench.machine_errors import translate_machine_errors
from albench.masks import Mask
from albench.network import Network, Task, check_logits
from albench.pool import Pool
from albench.query import OracleDraw, Query
from albench.resolve import ResolvedRun
from albench.runs.array_files import Arrays
from albench.runs.cost import Clock, Phase, environment
from albench.runs.layout import SHARED_ROUND_ZERO
from albench.runs.records import ClassMetrics, FitSummary, QueryRecord, RoundRecord, SliceName, SplitRecord
from albench.runs.snapshots import snapshots
from albench.runs.store import Mirror, RoundFiles, RunStore
from albench.strategy import Round, Strategy
from albench.streams import Streams
from albench.training.confidence import confidence
from albench.training.device_cache import DeviceCache
from albench.training.evaluation import Evaluation, evaluate, example_slices
from albench.training.graphs import PassGraphs
from albench.training.learner import Learner, TrainingLog, Weights, weights_of
from albench.training.network_difference import difference
from albench.training.predictor import Predictor
from albench.training.shared_round_zero import fit_shared

_SHOWN = 6  # queried slices of which pictures are kept


@dataclass(frozen=True)
class Execution:
    """How a run is computed and kept; not part of its identity.

    Attributes:
        device: where to compute.
        keep_weights: keep every round's weights, not only the last.
        share: take round 0 from another run in the same folder that trains it alike.
        graphs: replay training passes as CUDA graphs on a GPU, see `albench.training.graphs`.
        mirror: called with the folders to copy after every round, see `RunStore.open`.
        accept_code_change: continue a run that other code has written, see `RunStore.open`.
        audit: audit every query, see `albench.audit`.
    """

    device: torch.device
    keep_weights: bool = False
    share: bool = True
    graphs: bool = True
    mirror: Mirror | None = None
    accept_code_change: bool = False
    audit: bool = False


@dataclass(frozen=True)
class State:
    """What the next round starts from; together with the random streams, the whole state of a run.

    Attributes:
        pool: with all masks that were annotated.
        pseudo: {id: (h, w) mask} to train on.
        weights: of the end of the last round; None before round 0.
        steps: optimizer steps that the last query took.
    """

    pool: Pool
    pseudo: Mapping[int, Mask]
    weights: Weights | None
    steps: int = 0


@dataclass(frozen=True)
class Turn:
    """A round as the loop knows it. The strategy is given copies, and nothing is read from these.

    Attributes:
        index: the round, from 0.
        budget: how many slices are queried.
        pool: with all masks that were annotated.
        pseudo: {id: (h, w) mask} to train on.
        steps: optimizer steps that `fit` takes; None if they are not matched.
        given: what the strategy gets.
        trainings: since the last call of `collect_trainings`.
    """

    index: int
    budget: int
    pool: Pool
    pseudo: Mapping[int, Mask]
    steps: int | None
    given: Round
    trainings: list[TrainingLog]

    def collect_trainings(self) -> tuple[TrainingLog, ...]:
        """Return the trainings since the last call, in order, and forget them."""
        collected = tuple(self.trainings)
        self.trainings.clear()
        return collected


class RunSession:
    """What stays the same in all rounds of a run."""

    def __init__(self, resolved: ResolvedRun, execution: Execution, callback: RunCallback) -> None:
        self.config, self.strategy, self.split = resolved.config, resolved.strategy, resolved.split
        self.execution, self.callback = execution, callback
        self.streams = Streams(self.config.seed, self.config.title)
        own_grid = self.config.protocol.grid == "native"
        self.val = resolved.prepared.labeled_stack(self.split.val, own_grid=own_grid) if self.split.val else None
        self.test = resolved.prepared.labeled_stack(self.split.test, own_grid=own_grid)
        self.oracle = resolved.oracle(self.val if self.config.protocol.validation == "charged" else None)
        self.slices = self.oracle.slices
        self.initial = resolved.initial(self.slices)
        if not len(self.initial):
            raise ConfigError(
                f"slices must be labeled before round 0, the pool of {len(self.slices)} has none with a known label: "
                "check data.unknown, or label some slices"
            )
        self.strategy.check(Pool(self.slices))
        self._check_foreground()
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "scores")
        self.device_cache = DeviceCache(resolved.prepared.images, execution.device)
        self._task = self._task_of(resolved.network)
        self.network = self._network(self.strategy.network)
        check_parts(self.network, self.strategy.parts())
        self._graphs = None
        if execution.graphs and execution.device.type == "cuda":
            self._graphs = PassGraphs(self.network, self.config.training.batch_size, callback.on_notice)
        self._initial_weights = weights_of(self.network)
        self.predictor = Predictor(  # for evaluation; that of a strategy is its learner
            self.network,
            self.slices,
            batch_size=self.config.training.batch_size,
            device=execution.device,
            device_cache=self.device_cache,
        )

    def begin(self, store: RunStore) -> State:
        """Write what does not change, and give the state at the end of the last finished round, with all answers."""
        pool = Pool(self.slices)
        shown = example_slices(self.test)
        store.begin(
            SplitRecord(
                train=self.split.train,
                val=self.split.val,
                test=self.split.test,
                slices={name: len(self.slices.of(index)) for index, name in enumerate(self.slices.cases)},
                val_slices=int(self.val.slices.annotatable.sum()) if self.val else 0,
                undrawn=int((~self.slices.annotatable).sum()),
                initial=tuple(self._name(int(i)) for i in self.initial),
            ),
            environment(self.execution.device, self.strategy.trains_as().kind, uses_labels=self.strategy.uses_labels),
            snapshots(self.test.slices, shown, self.test.masks(shown)),
        )
        done, last = store.reader, len(store.records) - 1
        for ids in [self.initial.tolist(), *(done.query(index).ids for index in range(last + 1))]:
            pool = pool.with_masks(self.oracle.annotate(ids, len(ids)))
        if last < 0:
            return State(pool, {}, None)
        labeled = set(pool.labeled.tolist())  # by people also what nobody asked for
        pseudo = {i: mask for i, mask in done.pseudo(last).items() if i not in labeled}
        return State(pool, pseudo, done.weights(last), _steps(store.records[last].query_trainings))

    def turn(self, index: int, state: State, recorded: Sequence[FitSummary] = ()) -> Turn:
        """A round whose learner is at its starting weights, and without a budget if it is the last.

        Args:
            index: of the round.
            state: that it starts from.
            recorded: trainings that its learner repeats, see `Learner`.
        """
        protocol, training = self.config.protocol, self.config.training
        start = state.weights if protocol.warm_start else None
        try:
            with translate_machine_errors(f"at the start of round {index}"):  # for torch, they do not fit either
                self.network.load_state_dict(start or self._initial_weights)
        except RuntimeError as error:
            raise StoreError(
                f"the weights of round {index - 1} must fit the network, they do not: use the code that wrote them, or "
                "remove the run"
            ) from error
        trainings: list[TrainingLog] = []
        learner = Learner(
            self.network,
            self.slices,
            self.val,
            training,
            self.streams,
            round_index=index,
            lr=training.lr_incremental if start else training.lr,
            device=self.execution.device,
            on_epoch=self.callback.on_epoch,
            on_training=trainings.append,
            device_cache=self.device_cache,
            score_unknown=protocol.score_unknown,
            graphs=self._graphs,
            recorded=recorded,
        )
        steps = self._steps_of_fit(index, state)
        learner.allow(steps)
        budget = min(protocol.budget, len(state.pool.unlabeled)) if index < protocol.rounds else 0
        rng = self.streams.numpy("query", index)
        pool, pseudo = state.pool.with_masks({}), dict(state.pseudo)
        given = Round(index, budget, pool, learner, pseudo, state.weights, rng, protocol.interval, protocol.rounds)
        return Turn(index, budget, state.pool, state.pseudo, steps, given, trainings)

    def fit(self, turn: Turn, out: Path) -> None:
        """Train, or take the training of round 0 from another run where both strategies share it."""
        if turn.index == 0 and self.execution.share and self._shares_round_zero():
            folder = out / SHARED_ROUND_ZERO
            fit_shared(turn.given.learner, lambda: self.fit_alone(turn), self.config, turn.pool.masks(), folder)
        else:
            self.fit_alone(turn)

    def _shares_round_zero(self) -> bool:
        """Whether the strategy declares that it shares round 0, and nothing is found that it would train otherwise."""
        if not self.strategy.trains_as().shares_round_zero:
            return False
        reason = self._own_training()
        if reason:
            self.callback.on_notice(
                f"round 0 is trained for this run alone: strategy '{self.strategy.name}' declares that it shares it, "
                f"but {reason}"
            )
        return reason is None

    def _own_training(self) -> str | None:
        """What makes round 0 another training than that of all strategies, in words; None if nothing is found."""
        for hook in ("fit", "loss"):  # of code, nobody can say whether it does the same
            if getattr(getattr(self.strategy.trains_as(), hook), "__func__", None) is not getattr(Strategy, hook):
                return f"it has a {hook} of its own"
        images = torch.rand(2, self._task.channels, *self._task.size, generator=torch.Generator().manual_seed(0))
        try:
            with translate_machine_errors():
                usual = self._network(Task.build).to(self.execution.device)
                return difference(self.network, usual, images.to(self.execution.device))
        except MachineError:
            raise
        except Exception as error:  # of a plugin; to train alone is always right
            what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return f"its network cannot be compared with that of all strategies, {what}"

    def fit_alone(self, turn: Turn) -> None:
        """Train, whatever other runs have trained."""
        self.strategy.fit(turn.given)
        turn.given.learner.check_spent()
        _check_steps("fit", turn.trainings, turn.steps)

    def evaluate(self) -> Callable[[], tuple[Evaluation, Evaluation | None]]:
        """Segment the test cases, and the validation cases if there are any; the returned function waits for scores."""
        tolerance = self.config.protocol.nsd_tolerance
        test = evaluate(self.predictor, self.test, tolerance, self._threads)
        val = evaluate(self.predictor, self.val, tolerance, self._threads) if self.val else None

        def scores() -> tuple[Evaluation, Evaluation | None]:
            return test.result(), val.result() if val else None

        if self.execution.device.type == "cpu":  # where scoring and query would take the cores from each other
            scores()
        return scores

    def query(self, turn: Turn) -> Query:
        """Ask the strategy; what it trains counts towards the next round."""
        if not turn.budget:
            return Query.empty()
        return self.oracle.answer(self.ask(turn), turn.pool, turn.budget, uses_labels=self.strategy.uses_labels)

    def ask(self, turn: Turn) -> Query | OracleDraw:
        """What the strategy asks, before the oracle completes a draw."""
        turn.given.learner.allow(self.config.protocol.steps)
        asked = self.strategy.query(turn.given)
        _check_steps("query", turn.trainings, self.config.protocol.steps)
        return asked

    @contextmanager
    def phase(self, turn: Turn, name: Phase) -> Iterator[None]:
        """Tell the callback, seed torch's generators for what the strategy draws itself, and name in errors where."""
        self.callback.on_phase(turn.index, name)
        with translate_machine_errors(f"in {name} of round {turn.index}"), self.streams.torch(name, turn.index):
            yield

    def record(
        self,
        turn: Turn,
        query: Query,
        test: Evaluation,
        val: Evaluation | None,
        fitted: tuple[TrainingLog, ...],
        queried: tuple[TrainingLog, ...],
        clock: Clock,
    ) -> RoundRecord:
        """What was measured in a round, before its query is annotated."""
        labeled, unlabeled = len(turn.pool.labeled), len(turn.pool.unlabeled)
        return RoundRecord(
            round=turn.index,
            labeled=labeled,
            unlabeled=unlabeled,
            share=labeled / (labeled + unlabeled),
            annotation_cost=self.oracle.annotation_cost(),
            pseudo=self.oracle.evaluate_masks(turn.pseudo),
            notes={name: np.asarray(value, dtype=np.float64).tolist() for name, value in query.notes.items()},
            predictions={name: self.oracle.evaluate_masks(masks) for name, masks in query.predictions.items()},
            test=test.metrics(),
            val=val.metrics() if val else None,
            confidence=confidence(test.thresholds, val.thresholds if val else []),
            cases={name: scores.all.metrics() for name, scores in test.cases.items()},
            classes=self._classes(test, val),
            fit_trainings=tuple(log.summary for log in fitted),
            query_trainings=tuple(log.summary for log in queried),
            cost=clock.cost(
                steps=sum(log.summary.steps for log in (*fitted, *queried) if log.made),
                fit_epochs=[seconds for log in fitted for seconds in log.epoch_seconds],
                query_epochs=[seconds for log in queried for seconds in log.epoch_seconds],
            ),
        )

    def _classes(self, test: Evaluation, val: Evaluation | None) -> dict[str, ClassMetrics]:
        """Metrics of every class; of one class they are those of the record."""
        names = self.config.classes
        return {
            name: ClassMetrics(
                test=test.metrics_of_class(label),
                val=val.metrics_of_class(label) if val else None,
                cases={case: scores.classes[label - 1].metrics() for case, scores in test.cases.items()},
            )
            for label, name in enumerate(names, 1)
            if len(names) > 1
        }

    def after(self, turn: Turn, query: Query, masks: Mapping[int, Mask], queried: tuple[TrainingLog, ...]) -> State:
        """The state after a query was asked, with the masks that answer it; a queried slice is not a pseudo-label."""
        asked = set(np.asarray(query.ids).tolist())
        pseudo = {i: mask for i, mask in query.pseudo.items() if i not in asked}
        steps = _steps(log.summary for log in queried)
        return State(turn.pool.with_masks(masks), pseudo, weights_of(self.network), steps)

    def files(self, pool: Pool, query: Query, masks: Mapping[int, Mask], state: State, test: Evaluation) -> RoundFiles:
        """What is stored of a round in addition to its record; `pool` is the one that was queried."""
        ids = [int(i) for i in query.ids]
        scores = None
        if query.scores is not None:
            scores = {str(i): float(s) for i, s in zip(pool.unlabeled.tolist(), query.scores, strict=True)}
        return RoundFiles(
            query=QueryRecord(tuple(ids), tuple(map(self._name, ids)), scores),
            pseudo=state.pseudo,
            predictions=test.shown,
            arrays={**query.arrays, **self._pictures(masks)},
            weights=state.weights or {},
            answers=self.oracle.kept,
        )

    def _pictures(self, masks: Mapping[int, Mask]) -> Arrays:
        """Of the most wanted slices, for figures."""
        ids = list(masks)[:_SHOWN]
        if not ids:
            return {}
        shown = snapshots(self.slices, ids, np.stack([masks[i] for i in ids]), longest=160)
        return {f"queried_{name}": values for name, values in shown.items()}

    def _check_foreground(self) -> None:
        """Check before the first training that slices with foreground suffice for all queries. Raises StrategyError."""
        protocol, unlabeled = self.config.protocol, np.setdiff1d(Pool(self.slices).unlabeled, self.initial)
        left, wanted = len(unlabeled), 0
        for _ in range(min(protocol.rounds, left)):  # each queries one at least, until none is left
            wanted += self.strategy.foreground_wanted(min(protocol.budget, left))
            left -= min(protocol.budget, left)
        if wanted:
            self.oracle.check_foreground(unlabeled, wanted)

    def _steps_of_fit(self, index: int, state: State) -> int | None:
        """The optimizer steps of `fit`, so that all strategies have taken equally many; None if they are not matched.

        Those of the last query count if its weights are kept. A round that leaves nothing to query is the last one, so
        it takes the steps of the rounds that do not follow: the supervised reference trains as long as the others.
        """
        protocol = self.config.protocol
        if protocol.steps is None:
            return None
        if not protocol.warm_start:
            return protocol.steps
        rounds = 1 if len(state.pool.unlabeled) else protocol.rounds + 1 - index
        return protocol.steps * rounds - state.steps

    def _name(self, slice_id: int) -> SliceName:
        return SliceName(self.slices.cases[self.slices.case[slice_id]], int(self.slices.position[slice_id]))

    def _task_of(self, network: Network) -> Task:
        slices = self.slices
        height, width = np.median(slices.spacing[:, 1:], axis=0).tolist()
        return Task(slices.inputs, slices.shape[1:], network, len(slices.classes), (height, width))

    def _network(self, build: Callable[[Task], nn.Module]) -> nn.Module:
        """A network on the CPU, built from the random numbers of all strategies."""
        with self.streams.torch("weights"):
            built = build(self._task)
            check_logits(built, self._task)
            return built


def _check_steps(hook: str, trainings: Iterable[TrainingLog], allowed: int | None) -> None:
    """Check that trainings took no more optimizer steps than allowed. Raises StrategyError."""
    taken = _steps(training.summary for training in trainings)
    if allowed is not None and taken > allowed:
        raise StrategyError(
            f"with protocol.compute=matched {hook} must take at most {allowed} optimizer steps, it took {taken}: leave "
            "the allowance of the learner as it is"
        )


def _steps(trainings: Iterable[FitSummary]) -> int:
    """Optimizer steps of some trainings together."""
    return sum(training.steps for training in trainings)
