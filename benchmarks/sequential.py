"""A suite in this process, one run after the other, without Ray."""

from __future__ import annotations

from collections.abc import Sequence

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.progress import ProgressTable
from albench.benchmarks.storage import Storage
from albench.benchmarks.trial import run_trial, sentence
from albench.loop import Execution


def compute_here(
    runs: Sequence[PlannedRun], storage: Storage, execution: Execution, progress_table: ProgressTable, *, retries: int
) -> None:
    """Do the runs; one that fails is tried again, then left, and the others go on.

    Args:
        retries: how often a failed run is tried again.
    """
    for run in runs:
        for attempt in range(retries + 1):
            progress_table.start(run)
            try:
                run_trial(run, storage, execution, lambda record, run=run: progress_table.round(run, record))
            except Exception as error:
                (progress_table.again if attempt < retries else progress_table.fail)(run, sentence(error))
            else:
                progress_table.finish(run)
                break
