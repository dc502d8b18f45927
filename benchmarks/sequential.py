"""A suite in this process, one run after another, without Ray."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.storage import Storage
from albench.benchmarks.suite_callback import SuiteCallback
from albench.benchmarks.trial import run_trial
from albench.callback import NullCallback
from albench.errors import MachineError
from albench.run_session import Execution
from albench.runs.failures import sentence
from albench.runs.records import RoundRecord
from albench.training.device import works


class _Forward(NullCallback):
    """Forwards what a run tells to the callback of the suite."""

    def __init__(self, callback: SuiteCallback, run: PlannedRun) -> None:
        self._callback, self._run = callback, run

    def on_round(self, record: RoundRecord) -> None:
        self._callback.on_round(self._run, record)

    def on_notice(self, text: str) -> None:
        self._callback.on_run_notice(self._run, text)


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

    Raises:
        MachineError: the GPU stopped, and no run of this process can use it any more.
    """
    failures: dict[str, str] = {}
    for index, run in enumerate(runs):
        for attempt in range(retries + 1):
            callback.on_run_start(run)
            try:
                run_trial(run, storage, execution, _Forward(callback, run))
            except Exception as error:
                usable = works(execution.device)
                if attempt < retries and usable:
                    callback.on_retry(run, sentence(error))
                else:
                    failures[run.folder] = sentence(error)
                    callback.on_failure(run, failures[run.folder])
                if not usable:
                    raise MachineError(
                        f"without Ray all runs need one GPU that works, it stopped in run {index + 1} of {len(runs)} "
                        f"({run.name}): run the same command again, which continues after the last finished round, or "
                        "use Ray, which starts a new process after an error"
                    ) from error
            else:
                callback.on_run_finish(run)
                break
            gc.collect()  # of the error's frames, which hold a network and may refer to themselves
    return failures
