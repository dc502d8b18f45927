"""A suite in this process, one run after another, without Ray."""

from __future__ import annotations

from collections.abc import Sequence

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.storage import Storage
from albench.benchmarks.suite_callback import SuiteCallback
from albench.benchmarks.trial import run_trial, sentence
from albench.run_session import Execution
from albench.runs.records import RoundRecord


def run_sequentially(
    runs: Sequence[PlannedRun], storage: Storage, execution: Execution, callback: SuiteCallback, *, retries: int
) -> dict[str, str]:
    """Do the runs. A run that fails is retried; if it fails again, the other runs continue.

    Args:
        runs: to do.
        storage: where they are kept.
        execution: how they are computed.
        callback: called with the progress.
        retries: how often a failed run is tried again.

    Returns:
        {folder: error} of the runs that failed.
    """
    failures: dict[str, str] = {}
    for run in runs:

        def on_round(record: RoundRecord, run: PlannedRun = run) -> None:
            callback.on_round(run, record)

        for attempt in range(retries + 1):
            callback.on_run_start(run)
            try:
                run_trial(run, storage, execution, on_round)
            except Exception as error:
                if attempt < retries:
                    callback.on_retry(run, sentence(error))
                else:
                    failures[run.folder] = sentence(error)
                    callback.on_failure(run, failures[run.folder])
            else:
                callback.on_run_finish(run)
                break
    return failures
