"""One run of a suite, wherever it is computed."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from albench.benchmarks.plan import PlannedRun, resolve_run
from albench.benchmarks.storage import Storage
from albench.errors import AlbenchError, DataError, StoreError
from albench.loop import Execution, NullCallback, run
from albench.runs.store import Record, run_folder, write_failure
from albench.training.shared_round_zero import FOLDER as SHARED


@dataclass(frozen=True)
class Reporter(NullCallback):
    """A display that shows nothing and passes finished rounds on."""

    tell: Callable[[Record], None]

    def round(self, record: Record) -> None:
        """Pass it on."""
        self.tell(record)


def run_trial(planned: PlannedRun, storage: Storage, execution: Execution, tell: Callable[[Record], None]) -> None:
    """Do a run, or continue it after its last finished round. An error is written down beside the run.

    Args:
        tell: called with every finished round.

    Raises:
        AlbenchError: what the run raises.
    """

    def keep(record: Record) -> None:
        storage.send(SHARED)
        storage.send(planned.folder)
        tell(record)

    folder = storage.local / planned.folder
    storage.fetch(planned.folder)
    storage.fetch(SHARED)
    try:
        resolved = resolve_run(planned.spec)
        if run_folder(storage.local, resolved.config) != folder:
            raise DataError(
                f"the data and the code must be the same on every node, those of '{planned.name}' differ here: copy "
                "the data and install the same version"
            )
        run(resolved.config, resolved.strategy, resolved.prepared, storage.local, execution, Reporter(keep))
    except Exception as error:
        with suppress(StoreError):  # it may be what failed
            write_failure(folder, sentence(error), traceback.format_exc())
            storage.send(planned.folder)
        raise


def sentence(error: Exception) -> str:
    """What a user reads: an error of albench says all itself, of another the kind matters too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, AlbenchError) else f"{type(error).__name__}: {text}".removesuffix(": ")
