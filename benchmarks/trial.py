"""One run of a suite, on any node."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import replace

from albench.benchmarks.plan import PlannedRun, resolve_run
from albench.benchmarks.storage import Storage
from albench.callback import RunCallback
from albench.errors import DataError, StoreError
from albench.loop import run
from albench.run_session import Execution
from albench.runs.failures import sentence
from albench.runs.layout import SHARED_ROUND_ZERO, run_folder
from albench.runs.store import write_failure


def run_trial(planned: PlannedRun, storage: Storage, execution: Execution, callback: RunCallback) -> None:
    """Do a run, or continue it after its last finished round. An error is also written to the folder of the run.

    Args:
        planned: the run.
        storage: where it is kept.
        execution: how it is computed.
        callback: told about progress.

    Raises:
        AlbenchError: what the run raises.
    """
    folder = storage.local / planned.folder
    storage.fetch(planned.folder)
    storage.fetch(SHARED_ROUND_ZERO)
    try:
        resolved = resolve_run(planned.spec)
        if run_folder(storage.local, resolved.config) != folder:
            raise DataError(
                f"the data and the code must be the same on every node, those of '{planned.name}' differ here: copy "
                "the data and install the same version"
            )
        run(resolved, storage.local, replace(execution, mirror=storage.send), callback)
    except Exception as error:
        with suppress(StoreError):  # writing may be what failed
            write_failure(folder, sentence(error), traceback.format_exc())
            storage.send(planned.folder)
        raise
