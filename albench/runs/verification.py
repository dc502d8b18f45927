"""Verification: whether a run is still what albench wrote. Its records are a ledger.

Every document is sealed (`albench.runs.documents`). Every record holds the SHA-256 of the record before it and of the
files of its round, and the first one that of the settings, split and snapshots. The first record of a process also
holds that of its code and environment. So an edited value, a swapped or repeated line, another run's file and a file
that was added or removed are all found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from albench.errors import StoreError
from albench.files import digest_of
from albench.runs.documents import encode, read_text, seal_of, text_hash
from albench.runs.layout import RunLayout, folder_name
from albench.runs.reader import REMEDY, RunReader
from albench.runs.records import ProcessRecord, RoundRecord
from albench.runs.scores import scores_csv


@dataclass(frozen=True)
class Damage:
    """Something in a run that is not as albench wrote it.

    Attributes:
        file: which one.
        sentence: the file, what is wrong with it, and the remedy.
    """

    file: Path
    sentence: str


def verify(run: RunReader) -> list[Damage]:
    """Everything in a run that is damaged or was changed after it was written; empty for a sound run.

    What a killed process leaves is sound: the next start continues from it. So is a run without its table of metrics,
    which follows from the records.
    """
    try:
        return _damages(run)
    except OSError as error:  # of files and folders that may not be read
        path = Path(error.filename or run.folder)
        return [Damage(path, f"'{path}' cannot be read ({error.strerror}): {REMEDY}")]


def check(run: RunReader) -> None:
    """Raise StoreError with the first damage of a run."""
    for damage in verify(run):
        raise StoreError(damage.sentence)


def hash_before(layout: RunLayout, processes: Sequence[ProcessRecord], lines: Sequence[str]) -> str:
    """The hash of what was written before a record, from the lines of the records before it.

    These are the record before it, or the settings, split and snapshots before round 0; and the process that wrote it,
    if that wrote none before.
    """
    began = next((_process_hash(process) for process in processes if process.round == len(lines)), None)
    if lines:
        seal = seal_of(lines[-1])
        return seal if began is None else text_hash(f"{seal} {began}\n")
    hashes = {path.name: file_hash(path) for path in layout.header if path != layout.environment and path.is_file()}
    if began is not None:
        hashes[layout.environment.name] = began
    return text_hash("".join(f"{path.name} {hashes[path.name]}\n" for path in layout.header if path.name in hashes))


def _process_hash(process: ProcessRecord) -> str:
    """Of a process in an older run, whose environment was the whole file, it is the hash of that file."""
    return text_hash(encode(process) if process.code else f"{encode(process.environment, indent=1)}\n")


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by name."""
    return {path.name: file_hash(path) for path in sorted(folder.iterdir()) if _counts(path)}


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return digest_of(file)


def _damages(run: RunReader) -> list[Damage]:
    settings = list(_settings(run))
    if settings:
        return settings  # nothing else can be judged without them
    documents = list(chain(_readable(run), _processes(run), _records(run)))
    if documents:
        return documents
    return list(chain(_rounds(run), _scores(run)))


def _settings(run: RunReader) -> Iterator[Damage]:
    path = run.layout.config
    try:
        expected = folder_name(run.config)
        former = folder_name(run.config, code=True)
    except StoreError as error:
        yield Damage(path, str(error))
        return
    if run.folder.resolve().name not in (expected, former):
        yield Damage(
            path,
            f"'{path}' must hold the settings that its folder is named after, these belong to '{expected}': {REMEDY}",
        )


def _readable(run: RunReader) -> Iterator[Damage]:
    """Documents that cannot be read, or whose content does not match its own hash."""
    yield from _tried(run.layout.failure, lambda: run.failure)
    yield from _tried(run.layout.records, lambda: run.records)
    if run.layout.records.exists():
        yield from _tried(run.layout.environment, lambda: run.processes)
        yield from _tried(run.layout.split, lambda: run.split)


def _processes(run: RunReader) -> Iterator[Damage]:
    """Processes that are not in the order in which they wrote; only the last one may have written nothing yet."""
    path = run.layout.environment
    try:
        count, first = len(run.records), [process.round for process in run.processes] if run.records else [0]
        allowed = count - 1 if run.finished else count
    except StoreError:  # which is said of the file itself
        return
    if first[0] or first != sorted(set(first)) or first[-1] > max(allowed, 0):
        yield Damage(
            path,
            f"'{path}' must list processes in the order of the rounds that they wrote, from 0 to {allowed}, it lists "
            f"{', '.join(map(str, first))}: {REMEDY}",
        )


def _records(run: RunReader) -> Iterator[Damage]:
    """Records that are not in the order in which they were written, or not after what they were written after."""
    path = run.layout.records
    try:
        records = run.records
    except StoreError:
        return
    if not records:
        return
    lines = read_text(path, REMEDY).splitlines()
    try:
        processes = run.processes
    except StoreError:  # which is said of the file itself
        return
    what = ", ".join(f"'{file.name}'" for file in run.layout.header)
    for index, record in enumerate(records):
        if record.round != index:
            yield Damage(
                path,
                f"'{path}', line {index + 1}, must be round {index}, it is round {record.round}: a line was repeated, "
                f"moved or removed; {REMEDY}",
            )
            return
        if record.previous != hash_before(run.layout, processes, lines[:index]):
            began = any(process.round == index for process in processes)
            entry = f", or its process in '{run.layout.environment}'," if began else ""
            earlier = f"the record before it in '{path}'{entry}" if index else f"one of {what} in '{run.folder}'"
            yield Damage(
                path,
                f"'{path}', line {index + 1}, was written after other content than is there now, {earlier} was "
                f"changed or replaced: {REMEDY}",
            )
            return


def _rounds(run: RunReader) -> Iterator[Damage]:
    """Files of finished rounds that were changed, and numbers that do not add up."""
    if not run.records:
        return
    total = sum(run.split.slices.values()) - run.split.undrawn
    labeled, drawn = len(run.split.initial), 0
    for index, record in enumerate(run.records):
        found = list(_files(run, index, record))
        yield from found
        if found:
            return
        path = run.layout.round(index).query
        try:
            query, answers = run.query(index), run.answers(index)
        except StoreError as error:
            yield Damage(path, str(error))
            return
        if answers is not None:  # people may draw more than is asked, or less
            drawn += len(answers)
            labeled = drawn
        if len(query.ids) > run.config.protocol.budget:
            yield Damage(
                path,
                f"'{path}' must hold at most the {run.config.protocol.budget} slices of protocol.budget, it holds "
                f"{len(query.ids)}: {REMEDY}",
            )
        if (record.labeled, record.unlabeled) != (labeled, total - labeled):
            yield Damage(
                run.layout.records,
                f"'{run.layout.records}', line {index + 1}, must count {labeled} labeled and {total - labeled} "
                f"unlabeled slices as the queries before it, it counts {record.labeled} and {record.unlabeled}: "
                f"{REMEDY}",
            )
        labeled += len(set(query.ids))


def _files(run: RunReader, index: int, record: RoundRecord) -> Iterator[Damage]:
    """Files of a round that are missing, changed or added.

    Weights may be missing, except those that an unfinished run goes on from. No number depends on them, and a copy
    without them is a fraction of the size.
    """
    layout = run.layout.round(index)
    kept = index == len(run.records) - 1 and not run.finished
    for name, expected in record.files.items():
        path = layout.folder / name
        if not path.is_file():
            if kept or path != layout.weights:
                yield Damage(path, f"'{path}' is missing, its record lists it: {REMEDY}")
        elif file_hash(path) != expected:
            yield Damage(
                path, f"'{path}' was changed or replaced after it was written, it does not match its record: {REMEDY}"
            )
    if layout.folder.is_dir():
        for path in sorted(layout.folder.iterdir()):
            if path.name not in record.files and _counts(path):
                yield Damage(path, f"'{path}' was added after the round was finished: remove it")


def _scores(run: RunReader) -> Iterator[Damage]:
    """The table of metrics follows from the records; a killed process may leave that of the round before, or none."""
    path = run.layout.scores
    if not run.records or not path.exists():
        return
    sound = (scores_csv(records).encode() for records in (run.records, run.records[:-1]))
    if not path.is_file() or path.read_bytes() not in sound:
        yield Damage(
            path,
            f"'{path}' must hold the metrics of 'rounds.jsonl', it was changed: remove it and run the same "
            "command again, which rewrites it",
        )


def _tried(path: Path, read: Callable[[], object]) -> Iterator[Damage]:
    try:
        read()
    except StoreError as error:
        yield Damage(path, str(error))


def _counts(path: Path) -> bool:
    """Whether a file belongs to a round: not what a killed process left half-written."""
    return path.is_file() and not path.name.startswith(".")
