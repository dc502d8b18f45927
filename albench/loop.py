"""The loop: fit, evaluate, query, annotate; round after round, continuing where an earlier process stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from albench.audit.auditor import auditing, check_verdict
from albench.callback import NullCallback, RunCallback
from albench.errors import NetworkError, StrategyError
from albench.exits import rejecting_exits
from albench.machine_errors import translate_machine_errors
from albench.query import check_query
from albench.resolve import ResolvedRun
from albench.run_session import Execution, RunSession
from albench.runs.cost import Clock
from albench.runs.reader import RunReader
from albench.runs.store import RunStore

__all__ = ["Execution", "run"]


def run(resolved: ResolvedRun, out: Path, execution: Execution, callback: RunCallback | None = None) -> RunReader:
    """Run a strategy to the end, or continue it after its last finished round; until a query waits for an answer.

    Args:
        resolved: what to run, see `albench.resolve.resolve`.
        out: where runs are kept.
        execution: how it is computed and kept.
        callback: told about progress.

    Returns:
        The run, finished unless people have yet to draw.

    Raises:
        StrategyError: the strategy broke a rule.
        PluginError: a plugin tried to end the process.
        MachineError: the machine has no memory left, or its GPU stopped.
        StoreError: the run cannot be written, or was changed since it was.
    """
    config = resolved.config
    callback = callback or NullCallback()
    with _explaining(resolved):
        session = RunSession(resolved, execution, callback)
    kept = RunStore.open(
        out,
        config,
        plugins=resolved.plugins,
        keep_weights=execution.keep_weights,
        mirror=execution.mirror,
        accept_code_change=execution.accept_code_change,
    )
    with kept as store, _explaining(resolved), auditing(store.reader, resolved, session, execution) as auditor:
        callback.on_start(config, store.records)
        for caution in resolved.cautions:
            callback.on_notice(f"caution: {caution}")
        if not store.finished:
            state = session.begin(store)
        while not (store.finished or session.oracle.waiting):
            clock = Clock(execution.device)
            turn = session.turn(len(store.records), state)
            auditor.get_ready(turn)
            with session.phase(turn, "fit"), clock.phase("fit"):
                session.fit(turn, out)
            fitted = turn.collect_trainings()
            with session.phase(turn, "evaluate"), clock.phase("evaluate"):
                scores = session.evaluate()
            start = auditor.start(turn)
            with session.phase(turn, "query"), clock.phase("query"):
                query = session.query(turn)
                check_query(query, turn.pool, turn.budget)
            queried = turn.collect_trainings()
            with clock.phase("evaluate"):
                test, val = scores()
            record = session.record(turn, query, test, val, fitted, queried, clock)
            audit = auditor.judge(turn, state, start, query, queried)
            masks = session.oracle.annotate(query.ids, turn.budget)
            state = session.after(turn, query, masks, queried)
            store.append(record, replace(session.files(turn.pool, query, masks, state, test), audit=audit))
            callback.on_round(store.records[-1])
            check_verdict(audit)
    return RunReader(store.folder)


@contextmanager
def _explaining(resolved: ResolvedRun) -> Iterator[None]:
    """Say in every error that the machine made it, or which strategy, and which network if that lacks something."""
    names = f"strategy '{resolved.strategy.name}' with network '{resolved.network.name}'"
    try:
        with translate_machine_errors(), rejecting_exits(names):
            yield
    except NetworkError as error:
        raise NetworkError(f"{names}: {error}") from error
    except StrategyError as error:
        raise StrategyError(f"strategy '{resolved.strategy.name}': {error}") from error
