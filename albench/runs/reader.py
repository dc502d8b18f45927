"""Reading a run: the only place that knows how what lies on disk becomes records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from albench.config import RunConfig
from albench.errors import MachineError, StoreError
from albench.files import is_locked
from albench.machine_errors import translate_machine_errors
from albench.masks import PackedMasks
from albench.runs.array_files import Arrays, read_arrays, read_masks
from albench.runs.documents import decode, read_document, read_text
from albench.runs.layout import RunLayout
from albench.runs.records import (
    AuditRecord,
    EnvironmentRecord,
    FailureRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "restore it from a copy, or remove the run"


class RunReader:
    """One run on disk. Every file is read once, on demand.

    Every property and method raises StoreError, in one sentence that names the file, the field and the remedy, for
    what is missing, damaged, changed, or written by another version.

    Attributes:
        folder: of the run.
        layout: where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = RunLayout(folder)

    @property
    def started(self) -> bool:
        """Whether the run was ever started."""
        return self.layout.config.exists()

    @cached_property
    def stored_config(self) -> StoredConfig:
        """The settings, with the version that wrote them."""
        return read_document(StoredConfig, self.layout.config, REMEDY)

    @property
    def config(self) -> RunConfig:
        """The settings."""
        return self.stored_config.run

    @cached_property
    def environment(self) -> EnvironmentRecord:
        """On what the run was begun."""
        return read_document(EnvironmentRecord, self.layout.environment, REMEDY)

    @cached_property
    def split(self) -> SplitRecord:
        """Who is in which part, and the initial slices."""
        return read_document(SplitRecord, self.layout.split, REMEDY)

    @cached_property
    def records(self) -> tuple[RoundRecord, ...]:
        """The finished rounds, in order."""
        path = self.layout.records
        if not path.exists():
            return ()
        lines = read_text(path, REMEDY).splitlines()
        if not lines:
            raise StoreError(f"'{path}' must hold a record per finished round, it is empty: {REMEDY}")
        return tuple(decode(RoundRecord, line, f"'{path}', line {n},", REMEDY) for n, line in enumerate(lines, 1))

    @property
    def failure(self) -> FailureRecord | None:
        """Why the run failed when it was last tried; None if it did not."""
        path = self.layout.failure
        return read_document(FailureRecord, path, "remove the file") if path.exists() else None

    @property
    def running(self) -> bool:
        """Whether some process writes the run now."""
        return is_locked(self.layout.lock)

    @property
    def finished(self) -> bool:
        """Whether all rounds are done, or no slice is left to query."""
        return self.started and is_finished(self.records, self.config.protocol.rounds)

    def query(self, index: int) -> QueryRecord:
        """What was queried after a round."""
        return read_document(QueryRecord, self.layout.round(index).query, REMEDY)

    def audit(self, index: int) -> AuditRecord | None:
        """What the audit of the query after a round found; None if it was not audited."""
        path = self.layout.round(index).audit
        return read_document(AuditRecord, path, REMEDY) if path.name in self.records[index].files else None

    def pseudo(self, index: int) -> PackedMasks:
        """{row in the pool: (h, w) mask} of the pseudo-labels that a round leaves for the next."""
        return read_masks(self.layout.round(index).pseudo, REMEDY)

    def predictions(self, index: int) -> PackedMasks:
        """{row in the test set: (h, w) mask} of what a round predicts for the slices of `snapshots`."""
        return read_masks(self.layout.round(index).predictions, REMEDY)

    def arrays(self, index: int) -> Arrays:
        """What a round keeps for figures; empty if it keeps nothing."""
        path = self.layout.round(index).arrays
        return read_arrays(path, REMEDY) if path.exists() else {}

    def snapshots(self) -> Arrays:
        """The test slices whose predictions are kept, see `albench.runs.snapshots`."""
        return read_arrays(self.layout.snapshots, REMEDY)

    def weights(self, index: int) -> Mapping[str, Tensor]:
        """What a round leaves for the next, on the CPU."""
        import torch

        path = self.layout.round(index).weights
        try:
            with translate_machine_errors():
                weights = torch.load(path, map_location="cpu", weights_only=True)
        except MachineError:  # which is no reason to remove the run
            raise
        except Exception as error:  # torch raises many kinds for a file that is not a checkpoint
            raise StoreError(f"'{path}' must hold weights, it is missing or damaged: {REMEDY}") from error
        return weights


def is_finished(records: tuple[RoundRecord, ...], rounds: int) -> bool:
    """Whether all rounds are done, or no slice is left to query."""
    return bool(records) and (len(records) > rounds or records[-1].unlabeled == 0)


def find_runs(out: Path) -> list[RunReader]:
    """All runs at or below a folder, sorted. Raises StoreError if it is not a folder."""
    if not out.is_dir():
        raise StoreError(f"runs must be in an existing folder, '{out}' is not one: give the --out of your runs")
    layout = RunLayout(out)
    names = (layout.config.name, layout.records.name)  # a run that lost one of them is damaged
    return [RunReader(folder) for folder in sorted({path.parent for name in names for path in out.rglob(name)})]
