"""Auditing the queries of a run: of one that is under way, or of one that is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

import albench
from albench.annotator import Annotator
from albench.audit.fresh_process import FreshProcess
from albench.audit.question import Fitted, Question, without_arrays
from albench.audit.verdict import Answer, judge
from albench.audit.world import World, open_world
from albench.config import RunConfig
from albench.data import Prepared, Split, prepare
from albench.errors import AlbenchError, ConfigError, StoreError, StrategyError
from albench.masks import Ids
from albench.oracle import MaskOracle, Oracle
from albench.pool import Pool
from albench.query import OracleDraw, Query
from albench.resolve import ResolvedRun
from albench.run_session import Execution, RunSession, State, Turn
from albench.runs.cost import device_name
from albench.runs.reader import RunReader
from albench.runs.records import AuditRecord, RoundRecord, SliceName
from albench.stored_data import dataset_of
from albench.training.learner import TrainingLog, weights_of


@dataclass(frozen=True)
class Started:
    """The audit of a query that is under way.

    Attributes:
        fitted: where the query started.
        process: that will be asked.
    """

    fitted: Fitted
    process: FreshProcess


class RunAuditor:
    """Audits the queries of a run that is under way, or none (see `auditing`)."""

    def __init__(self, resolved: ResolvedRun, session: RunSession, execution: Execution, worlds: ExitStack) -> None:
        self._resolved, self._session, self._execution, self._worlds = resolved, session, execution, worlds
        self._world: World | None = None
        self._ready: FreshProcess | None = None

    def get_ready(self, turn: Turn) -> None:
        """Start the process that will be asked, if the query of a round is audited; it imports while others train."""
        if not (self._execution.audit and turn.budget):
            return
        if self._world is None:
            self._world = self._worlds.enter_context(open_world(self._resolved.prepared))
        self._ready = FreshProcess(self._world, truth=False)
        self._worlds.callback(self._ready.end)

    def start(self, turn: Turn) -> Started | None:
        """Begin the audit of a query, after the training of its round; None if it is not audited."""
        process, self._ready = self._ready, None
        if process is None:
            return None
        return Started(Fitted(weights_of(self._session.network), turn.given.rng.bit_generator.state), process)

    def judge(
        self, turn: Turn, state: State, started: Started | None, query: Query, trainings: Sequence[TrainingLog]
    ) -> AuditRecord | None:
        """The verdict on a query that began as `started`; None if that is None.

        Args:
            turn: its round.
            state: that the round started from.
            started: by `start`.
            query: as it was answered in the run.
            trainings: of the query.
        """
        if started is None:
            return None
        pool = turn.pool
        question = Question(
            config=self._resolved.config,
            prepared=without_arrays(self._resolved.prepared),
            split=self._resolved.split,
            index=turn.index,
            labeled=pool.masks(),
            pseudo=dict(turn.pseudo),
            previous=state.weights,
            steps=state.steps,
            fitted=started.fitted,
            fit=(),
            query=tuple(log.summary for log in trainings),
            device=str(self._execution.device),
            threads=torch.get_num_threads(),
            graphs=self._execution.graphs,
        )
        asking = _Asking(question, self._session.oracle, pool, turn.budget, started.process)
        return judge(turn.index, Answer.of(query), asking.ask, exact=self._execution.device.type == "cpu")


@contextmanager
def auditing(run: RunReader, resolved: ResolvedRun, session: RunSession, execution: Execution) -> Iterator[RunAuditor]:
    """An auditor of a run, whose files are removed at the end. Raises StrategyError if an earlier query has looked."""
    for record in run.records:
        check_verdict(run.audit(record.round))
    with ExitStack() as worlds:
        yield RunAuditor(resolved, session, execution, worlds)


def check_verdict(audit: AuditRecord | None) -> None:
    """Check that a query has not looked. Raises StrategyError."""
    if audit is not None and audit.verdict == "looked":
        raise StrategyError(audit.sentence)


def audit_rounds(
    run: RunReader,
    device: torch.device,
    indices: Sequence[int] | None = None,
    *,
    fit: bool = False,
    graphs: bool = True,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[AuditRecord]:
    """The verdicts on the queries of a stored run, one after the other. The strategy is not loaded in this process.

    Args:
        run: with the weights that are needed: those at the end of every audited round and of the round before.
        device: where to compute.
        indices: of the rounds; None is every round with a query.
        fit: train each round again first, without masks that were not bought either. That is done anyway where the
            query itself has trained.
        graphs: as in `Execution`, best as it was in the run.
        on_step: called with words for what is done next.

    Raises:
        ConfigError: a round does not exist, or has no query; or people drew the masks.
        DataError: the data cannot be used.
        StoreError: the run cannot be read, or weights are missing.
    """
    if run.drawn_by_people:
        raise ConfigError(
            f"an audit needs masks that were hidden from the strategy, those of '{run.folder}' were drawn by people "
            "after its queries: audit a run"
        )
    queried = [record.round for record in run.records if record.round + 1 < len(run.records) or not _is_last(run)]
    indices = queried if indices is None else indices
    for index in indices:
        if index not in queried:
            raise ConfigError(
                f"a round to audit must have a query, '{run.folder}' has one in rounds "
                f"{', '.join(map(str, queried)) or 'of no number'}, got {index}: choose one of them"
            )
        _check_weights(run, index, fit=fit)
    on_step("opening the data of the run")
    stored = _StoredRun.open(run, Execution(device, graphs=graphs))
    with open_world(stored.prepared) as world:
        for index in indices:
            on_step(f"asking for the query of round {index} again" + ", after its training" * fit)
            verdict = stored.judge(world, index, fit=fit)
            if verdict.verdict == "looked" and not fit:  # the training may have left more than weights
                on_step(f"asking for the query of round {index} again, after its training")
                verdict = stored.judge(world, index, fit=True)
            yield verdict


@dataclass(frozen=True)
class _Asking:
    """Asks one question in two worlds.

    Attributes:
        blind: the process that is asked without the true masks.
    """

    question: Question
    oracle: Oracle
    pool: Pool
    budget: int
    blind: FreshProcess

    def ask(self, truth: bool) -> Answer:
        """The answer with the true masks or without; a draw is completed by the true ones."""
        world = self.blind.world
        if truth:
            world.show_truth()
        else:
            world.show_canaries(self.pool.slices.rows[self.pool.labeled])
        process = FreshProcess(world, truth=True) if truth else self.blind
        answer = process.ask(self.question)
        if not isinstance(answer, OracleDraw):
            return answer
        try:
            return Answer.of(self.oracle.answer(answer, self.pool, self.budget, uses_labels=True))
        except AlbenchError as error:
            return Answer(error=str(error))


@dataclass(frozen=True)
class _StoredRun:
    """A stored run with its data.

    Attributes:
        run: on disk.
        prepared: its data.
        split: cases of each part.
        initial: ids of the slices that were labeled before round 0.
        execution: how to compute now.
    """

    run: RunReader
    prepared: Prepared
    split: Split
    initial: Ids
    execution: Execution

    @classmethod
    def open(cls, run: RunReader, execution: Execution) -> _StoredRun:
        """Find the data of a run. Raises AlbenchError."""
        prepared, stored = _prepared(run.config), run.split
        slices = prepared.stack(stored.train)
        names = zip(slices.case.tolist(), slices.position.tolist(), strict=True)
        ids = {SliceName(slices.cases[case], position): row for row, (case, position) in enumerate(names)}
        initial = np.array([ids[name] for name in stored.initial], dtype=np.int64)
        return cls(run, prepared, Split(stored.train, stored.val, stored.test), initial, execution)

    def judge(self, world: World, index: int, *, fit: bool) -> AuditRecord:
        """The verdict on the query of a round."""
        run, record = self.run, self.run.records[index]
        truth = self.prepared.labeled_stack(self.split.train)
        oracle = MaskOracle(truth, Annotator.of(run.config))
        bought = [*self.initial.tolist(), *(i for before in range(index) for i in run.query(before).ids)]
        pool = Pool(truth.slices).with_masks(oracle.annotate(bought, len(bought)))
        fit = fit or bool(record.query_trainings)
        question = Question(
            config=run.config,
            prepared=without_arrays(self.prepared),
            split=self.split,
            index=index,
            labeled=pool.masks(),
            pseudo=dict(run.pseudo(index - 1)) if index else {},
            previous=run.weights(index - 1) if index else None,
            steps=_query_steps(run.records[index - 1]) if index else 0,
            fitted=None if fit else Fitted(run.weights(index)),
            fit=record.fit_trainings,
            query=record.query_trainings,
            device=str(self.execution.device),
            threads=record.cost.threads,
            graphs=self.execution.graphs,
        )
        asked = run.query(index)
        given = Answer.stored(asked, run.pseudo(index), record.notes)
        asking = _Asking(question, oracle, pool, len(asked.ids), FreshProcess(world, truth=False))
        return judge(index, given, asking.ask, exact=_as_then(record, self.execution.device))


def _prepared(config: RunConfig) -> Prepared:
    """The data of a run. Raises AlbenchError."""
    prepared = prepare(dataset_of(config))
    if prepared.key != config.data_key:
        raise StoreError(f"an audit needs the data of the run, '{config.title}' has changed since: restore its files")
    return prepared


def _check_weights(run: RunReader, index: int, *, fit: bool) -> None:
    """Check that the weights are there that an audit of a round starts from. Raises StoreError."""
    trained = fit or bool(run.records[index].query_trainings)
    for needed in ([index - 1] if index else []) + ([] if trained else [index]):
        if not run.layout.round(needed).weights.exists():
            raise StoreError(
                f"an audit of round {index} must start from the weights of round {needed}, '{run.folder}' has not kept "
                "them: run it with --keep-weights, or with --audit, in another folder (--out, --storage of a suite)"
            )


def _is_last(run: RunReader) -> bool:
    """Whether the last finished round is the last one of the run, which has no query."""
    return not run.query(len(run.records) - 1).ids


def _as_then(record: RoundRecord, device: torch.device) -> bool:
    """Whether a round is computed on the same CPU with the same versions, so that it is equal to the last bit."""
    now = (device_name(device), albench.__version__, torch.__version__)
    return device.type == "cpu" and now == (record.cost.device, record.cost.albench, record.cost.torch)


def _query_steps(record: RoundRecord) -> int:
    return sum(training.steps for training in record.query_trainings)
