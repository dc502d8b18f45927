"""Writing a run: one process at a time, round by round, so that a killed run is always at the end of some round.

`rounds.jsonl` decides what is finished. Everything of a round is written before its record, and every file replaces
its predecessor in one step.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import albench
from albench.config import RunConfig
from albench.errors import StoreError
from albench.files import atomic_write, locked, write_tensors
from albench.masks import Mask
from albench.plugin_source import PluginFiles
from albench.runs.array_files import Arrays, write_arrays, write_masks
from albench.runs.code_identity import check_code, process_record
from albench.runs.documents import encode, read_text, write_document
from albench.runs.layout import SHARED_ROUND_ZERO, run_folder
from albench.runs.reader import REMEDY, RunProgress, RunReader
from albench.runs.records import (
    FORMAT,
    AuditRecord,
    EnvironmentRecord,
    FailureRecord,
    ProcessesRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)
from albench.runs.scores import write_scores
from albench.runs.verification import check, file_hashes, hash_before

if TYPE_CHECKING:
    from torch import Tensor

Mirror = Callable[[str], None]
"""Keeps a copy of a folder below that of the runs, given by its relative path, somewhere else."""


@dataclass(frozen=True)
class RoundFiles:
    """What is stored of a round in addition to its record.

    Attributes:
        query: what was queried.
        pseudo: {row in the pool: (h, w) mask} for the next round.
        predictions: {row in the test set: (h, w) mask} for figures.
        arrays: by name, for figures.
        weights: what the next round starts from.
        audit: of the query; None if it was not audited.
        answers: {row in the pool: (h, w) mask} that people drew for the round; None if the data hold the masks.
    """

    query: QueryRecord
    pseudo: Mapping[int, Mask]
    predictions: Mapping[int, Mask]
    arrays: Mapping[str, NDArray[np.generic]]
    weights: Mapping[str, Tensor]
    audit: AuditRecord | None = None
    answers: Mapping[int, Mask] | None = None


class RunStore:
    """The folder of one run, opened for writing (see `RunStore.open`).

    Attributes:
        reader: of what was there when the run was opened.
        folder: of the run.
        config: its settings.
        records: the finished rounds, with those finished since.
    """

    def __init__(
        self,
        reader: RunReader,
        out: Path,
        config: RunConfig,
        *,
        plugins: PluginFiles,
        keep_weights: bool,
        mirror: Mirror | None,
    ) -> None:
        self.reader, self.folder, self.config = reader, reader.folder, config
        self._plugins = plugins
        self.records = reader.records
        self._out, self._layout = out, reader.layout
        self._keep_weights, self._mirror = keep_weights, mirror

    @classmethod
    @contextmanager
    def open(
        cls,
        out: Path,
        config: RunConfig,
        *,
        plugins: PluginFiles | None = None,
        keep_weights: bool = False,
        mirror: Mirror | None = None,
        accept_code_change: bool = False,
    ) -> Iterator[RunStore]:
        """Open a run for writing, making its folder if needed. What a killed process left half-written is removed.

        Args:
            out: where runs are kept.
            config: settings of the run.
            plugins: source of its strategy and network, if they are plugins.
            keep_weights: keep the weights of every round, not only the last.
            mirror: called with what to copy after every round; None keeps no copy.
            accept_code_change: continue a run that other code has written.

        Raises:
            StoreError: another process, version or code writes the run, it was changed, or the disk cannot be written.
        """
        reader = RunReader(run_folder(out, config))
        with locked(reader.layout.lock, wait=False) as got:
            if not got:
                raise StoreError(
                    f"a run must be written by one process, another one is at work in '{reader.folder}': wait for it, "
                    "or use another --out"
                )
            if not reader.started:
                write_document(reader.layout.config, StoredConfig(FORMAT, albench.__version__, config))
            elif reader.stored_config.albench != albench.__version__:
                raise StoreError(
                    f"a run must be continued by the version that began it, '{reader.folder}' was begun by albench "
                    f"{reader.stored_config.albench} and this is {albench.__version__}: use another --out"
                )
            elif reader.config.tuning != config.tuning:
                raise StoreError(
                    f"a run must say where its options come from, '{reader.folder}' was begun with the same options "
                    f"{_origin(reader.config)} and now they are {_origin(config)}: use another --out"
                )
            check(reader)
            if not accept_code_change:
                check_code(reader, plugins or {})
            store = cls(reader, out, config, plugins=plugins or {}, keep_weights=keep_weights, mirror=mirror)
            store._remove_leftovers()
            yield store

    @property
    def finished(self) -> bool:
        """Whether no round is left to do."""
        return RunProgress.of(self.records).finished(self.config.protocol.rounds)

    def begin(self, split: SplitRecord, environment: EnvironmentRecord, snapshots: Arrays) -> None:
        """Write what does not change from round to round, unless a round is finished already, and who goes on."""
        done = len(self.records)
        kept = [process for process in RunReader(self.folder).processes if process.round < done] if done else []
        now = process_record(done, environment, self._plugins)
        write_document(self._layout.environment, ProcessesRecord((*kept, now)))
        if not self.records:
            write_document(self._layout.split, split)
            write_arrays(self._layout.snapshots, snapshots)

    def append(self, record: RoundRecord, files: RoundFiles) -> None:
        """Finish a round: its files first, then its record, which is completed by the hashes of the ledger."""
        layout = self._layout.round(len(self.records))
        shutil.rmtree(layout.folder, ignore_errors=True)
        write_document(layout.query, files.query)
        if files.audit is not None:
            write_document(layout.audit, files.audit)
        if files.answers is not None:
            write_masks(layout.answers, files.answers)
        write_masks(layout.pseudo, files.pseudo)
        write_masks(layout.predictions, files.predictions)
        if files.arrays:
            write_arrays(layout.arrays, files.arrays)
        write_tensors(layout.weights, dict(files.weights))
        written = self._lines()
        previous = hash_before(self._layout, RunReader(self.folder).processes, written)
        record = replace(record, files=file_hashes(layout.folder), previous=previous)
        with atomic_write(self._layout.records) as file:
            file.write("".join(f"{line}\n" for line in [*written, encode(record)]).encode())
        self.records = (*self.records, record)
        self._layout.failure.unlink(missing_ok=True)
        self._write_what_follows()
        if self._mirror is not None:
            self._mirror(SHARED_ROUND_ZERO)
            self._mirror(self.folder.relative_to(self._out).as_posix())

    def _lines(self) -> list[str]:
        path = self._layout.records
        return read_text(path, REMEDY).splitlines() if path.exists() else []

    def _remove_leftovers(self) -> None:
        for leftover in self.folder.rglob(".*.tmp"):
            leftover.unlink()
        if self.records:
            self._write_what_follows()

    def _write_what_follows(self) -> None:
        """Write the table of metrics, and remove weights that no round needs any more."""
        write_scores(self._layout.scores, self.records)
        if not self._keep_weights:
            for index in range(len(self.records) - 1):
                self._layout.round(index).weights.unlink(missing_ok=True)


def write_failure(folder: Path, error: str, trace: str) -> None:
    """Write down why a run failed. The next finished round removes the note. Raises StoreError."""
    run = RunReader(folder)
    before = run.failure
    attempts = before.attempts + 1 if before else 1
    write_document(run.layout.failure, FailureRecord(error, len(run.records), attempts, trace))


def _origin(config: RunConfig) -> str:
    return "set by hand" if config.tuning is None else f"tuned in {config.tuning.trials} trials"
