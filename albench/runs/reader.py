"""Reading a run: the only place that knows how what lies on disk becomes records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from albench.errors import MachineError, StoreError
from albench.files import is_locked
from albench.machine_errors import translate_machine_errors
from albench.masks import PackedMasks
from albench.runs.array_files import Arrays, read_arrays, read_masks
from albench.runs.documents import decode, in_order, is_there, read_document, read_text, seal_of
from albench.runs.foreground import gain_over_everything, largest_foreground
from albench.runs.layout import RunLayout
from albench.runs.records import (
    AuditRecord,
    EnvironmentRecord,
    FailureRecord,
    ProcessesRecord,
    ProcessRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)
from albench.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "restore it from a copy, or remove the run"


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        done: number of finished rounds.
        last: record of the last one; None if there is none.
    """

    done: int
    last: RoundRecord | None

    @classmethod
    def of(cls, records: Sequence[RoundRecord]) -> RunProgress:
        """The progress of a run with these records."""
        return cls(len(records), records[-1] if records else None)

    def finished(self, rounds: int) -> bool:
        """Whether all rounds are done, of which `rounds` have a query, or no slice is left to query."""
        return self.last is not None and (self.done > rounds or self.last.unlabeled == 0)


class RunReader(StoredRun):
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
        return is_there(self.layout.config, REMEDY)

    @cached_property
    def stored_config(self) -> StoredConfig:
        """The settings, with the version that wrote them."""
        return read_document(StoredConfig, self.layout.config, REMEDY)

    @cached_property
    def processes(self) -> tuple[ProcessRecord, ...]:
        """The processes that wrote rounds, in order; the last one may have been stopped before it finished a round."""
        path = self.layout.environment
        text = read_text(path, REMEDY)
        if '"processes"' in text:
            return decode(ProcessesRecord, text, f"'{path}'", REMEDY).processes
        of_older_run = decode(EnvironmentRecord, text, f"'{path}'", REMEDY)
        return (ProcessRecord(0, None, of_older_run, {}),)

    @cached_property
    def split(self) -> SplitRecord:
        """Who is in which part, and the initial slices."""
        return read_document(SplitRecord, self.layout.split, REMEDY)

    @cached_property
    def records(self) -> tuple[RoundRecord, ...]:
        """The finished rounds, in order."""
        return tuple(self._record(line, number) for number, line in enumerate(self._lines(), 1))

    @cached_property
    def progress(self) -> RunProgress:
        """How far the run is. Of all records but the last, only their order is checked: `records` reads them."""
        lines = self._lines()
        if not lines or not in_order(lines):
            return RunProgress.of(self.records)  # which says what is damaged
        return RunProgress(len(lines), self._record(lines[-1], len(lines)))

    @property
    def ledger(self) -> str:
        """The SHA-256 of the last record, which holds that of the record before it, and so on."""
        return seal_of(self._lines()[-1])

    @property
    def failure(self) -> FailureRecord | None:
        """Why the run failed when it was last tried; None if it did not."""
        path = self.layout.failure
        return read_document(FailureRecord, path, "remove the file") if is_there(path, REMEDY) else None

    @property
    def running(self) -> bool:
        """Whether some process writes the run now."""
        return is_locked(self.layout.lock)

    @property
    def finished(self) -> bool:
        """Whether all rounds are done, or no slice is left to query."""
        return self.started and self.progress.finished(self.config.protocol.rounds)

    @property
    def drawn_by_people(self) -> bool:
        """Whether people drew the masks of its rounds (`albench.annotation`), who end it when they like."""
        return bool(self.records) and self.layout.round(0).answers.name in self.records[0].files

    @property
    def rounds(self) -> int:
        """Total number of rounds: one more than the queries that the protocol wants and the pool allows."""
        protocol = self.config.protocol
        if not is_there(self.layout.split, REMEDY):
            return protocol.rounds + 1
        split = self.split
        unlabeled = sum(split.slices.values()) - split.undrawn - len(split.initial)
        return min(protocol.rounds, -(-unlabeled // protocol.budget)) + 1

    def query(self, index: int) -> QueryRecord:
        """What was queried after a round."""
        return read_document(QueryRecord, self.layout.round(index).query, REMEDY)

    def audit(self, index: int) -> AuditRecord | None:
        """What the audit of the query after a round found; None if it was not audited."""
        path = self.layout.round(index).audit
        return read_document(AuditRecord, path, REMEDY) if path.name in self.records[index].files else None

    def answers(self, index: int) -> PackedMasks | None:
        """{row in the pool: (h, w) mask} that people drew for a round; None if the data hold the masks."""
        path = self.layout.round(index).answers
        return read_masks(path, REMEDY) if path.name in self.records[index].files else None

    def pseudo(self, index: int) -> PackedMasks:
        """{row in the pool: (h, w) mask} of the pseudo-labels that a round leaves for the next."""
        return read_masks(self.layout.round(index).pseudo, REMEDY)

    def predictions(self, index: int) -> PackedMasks:
        """{row in the test set: (h, w) mask} of what a round predicts for the slices of `snapshots`."""
        return read_masks(self.layout.round(index).predictions, REMEDY)

    def arrays(self, index: int) -> Arrays:
        """What a round keeps for figures; empty if it keeps nothing."""
        path = self.layout.round(index).arrays
        return read_arrays(path, REMEDY) if is_there(path, REMEDY) else {}

    def snapshots(self) -> Arrays:
        """The test slices whose predictions are kept, see `albench.runs.snapshots`."""
        return read_arrays(self.layout.snapshots, REMEDY)

    def largest_foreground(self) -> dict[str, float]:
        """As `albench.runs.foreground.largest_foreground` of the snapshots."""
        return largest_foreground(self.snapshots())

    def gain_over_everything(self, index: int) -> float:
        """As `albench.runs.foreground.gain_over_everything` of the predictions of a round."""
        return gain_over_everything(self.snapshots(), self.predictions(index))

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

    def _lines(self) -> list[str]:
        """The records as they are written, which are not kept: they take as much memory as the records."""
        path = self.layout.records
        if not is_there(path, REMEDY):
            return []
        lines = read_text(path, REMEDY).splitlines()
        if not lines:
            raise StoreError(f"'{path}' must hold a record per finished round, it is empty: {REMEDY}")
        return lines

    def _record(self, line: str, number: int) -> RoundRecord:
        return decode(RoundRecord, line, f"'{self.layout.records}', line {number},", REMEDY)
