"""Writing a bundle of the runs that a report compares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import albench
from albench.bundles.manifest import (
    BUNDLE,
    NOT_STATED,
    QUERIES,
    ROUNDS,
    SCORES,
    TABLES,
    BundledMethod,
    BundledRunRecord,
    BundledSplit,
    BundleManifest,
    LeftOut,
)
from albench.bundles.public import check_public, public_process, public_settings
from albench.bundles.tables import Named, packed, query_rows, round_rows, score_rows, unpacked_text
from albench.errors import StoreError, counted
from albench.files import atomic_write, translate_os_errors
from albench.names import check_name
from albench.runs.documents import write_document
from albench.runs.records import ComputeCost, ProcessRecord
from albench.runs.scores import ALL

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """Where the runs of a bundle are from.

    Attributes:
        suite: its name; empty without one.
        digest: of the suite; None without one.
        about: what it is for.
        order: labels in the order of tables; empty without a suite.
        left_out: runs that are not in the bundle.
    """

    suite: str = ""
    digest: str | None = None
    about: str = ""
    order: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Publication:
    """What runs do not record, as whoever publishes them states it.

    Attributes:
        license: of the numbers.
        data_license: of the data.
        commit: of albench, for runs that record none.
    """

    license: str | None = None
    data_license: str | None = None
    commit: str | None = None


def write_bundle(folder: Path, runs: Sequence[Named], origin: Origin, publication: Publication) -> list[Path]:
    """Write runs as a bundle, and give its files. A former bundle in the folder is replaced.

    Args:
        folder: of the bundle, which has its name; created if it is missing.
        runs: finished and verified, in the order of tables, each in a folder of its own.
        origin: of the runs.
        publication: what they do not record.

    Raises:
        ConfigError: the name of the folder cannot be printed.
        StoreError: the folder holds other files or cannot be written, or a name would tell where files lie.
    """
    name = folder.resolve().name
    check_name("a bundle", name)
    with translate_os_errors(folder):
        _check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
    _check_cases(runs)
    tables = {
        SCORES: packed(score_rows(runs)),
        ROUNDS: packed(round_rows(runs)),
        QUERIES: packed(query_rows(runs)),
    }
    manifest = _manifest(name, runs, origin, publication, tables)
    for text in (asdict(manifest), *(unpacked_text(content) for content in tables.values())):
        check_public(text)
    (folder / BUNDLE).unlink(missing_ok=True)  # a folder that is half written is no bundle
    for table, content in tables.items():
        with atomic_write(folder / table) as file:
            file.write(content)
    write_document(folder / BUNDLE, manifest)
    return [folder / BUNDLE, *(folder / table for table in tables)]


def _check_free(folder: Path) -> None:
    """Raise StoreError if the folder has files of something else."""
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []
    others = [other for other in others if other not in (BUNDLE, *TABLES)]
    if others:
        raise StoreError(f"a bundle must have its own folder, '{folder}' holds '{others[0]}': name another --bundle")


def _check_cases(runs: Iterable[Named]) -> None:
    """Raise StoreError if a case or class has the name that stands for all of them in the table of scores."""
    cases = {case for named in runs for case in named.run.split.test}
    classes = {name for named in runs for name in named.run.config.classes}
    for what, names in (("case", cases), ("class", classes)):
        if ALL in names:
            raise StoreError(f"a {what} of a bundle must not be called '{ALL}', which stands for all: rename it")


def _manifest(
    name: str, runs: Sequence[Named], origin: Origin, publication: Publication, tables: Mapping[str, bytes]
) -> BundleManifest:
    settings: list[Mapping[str, object]] = []
    splits: list[BundledSplit] = []
    environments: list[tuple[ProcessRecord, ...]] = []
    methods: list[BundledMethod] = []
    records: list[list[BundledRunRecord]] = []
    for named in runs:
        run, config = named.run, named.run.config
        shared, strategy, tuning = public_settings(config)
        record = BundledRunRecord(
            folder=named.folder,
            seed=config.seed,
            albench=run.stored_config.albench,
            settings=_place(settings, shared),
            split=_place(splits, BundledSplit(run.split, run.largest_foreground())),
            environment=_place(environments, tuple(map(public_process, run.processes))),
            ledger=run.ledger,
        )
        place = _place(methods, BundledMethod(named.label, named.group, named.dataset, strategy, tuning, ()))
        records += [[] for _ in range(len(methods) - len(records))]
        records[place].append(record)
    processes = [process for own in environments for process in own]
    return BundleManifest(
        format=BundleManifest.FORMAT,
        albench=albench.__version__,
        name=name,
        about=origin.about,
        made=datetime.now(timezone.utc).date().isoformat(),
        suite=origin.suite,
        digest=origin.digest,
        commands=_commands(processes, origin.suite),
        commits=_commits(processes, publication.commit),
        hardware=tuple(sorted({_hardware(record.cost) for named in runs for record in named.run.records})),
        license=publication.license or NOT_STATED,
        data_license=publication.data_license or NOT_STATED,
        order=origin.order,
        left_out=origin.left_out,
        settings=tuple(settings),
        splits=tuple(splits),
        environments=tuple(environments),
        methods=tuple(replace(method, runs=tuple(own)) for method, own in zip(methods, records, strict=True)),
        files={table: hashlib.sha256(content).hexdigest() for table, content in tables.items()},
    )


def _place(values: list[T], value: T) -> int:
    """Where a value is in a list that has every value once; it is added if it is not there."""
    if value not in values:
        values.append(value)
    return values.index(value)


def _commands(processes: Sequence[ProcessRecord], suite: str) -> tuple[str, ...]:
    found = dict.fromkeys(" ".join(process.environment.command) for process in processes)
    known = tuple(filter(None, found))
    return known or ((f"albench bench {suite}",) if suite else ())


def _commits(processes: Sequence[ProcessRecord], stated: str | None) -> tuple[str, ...]:
    found = {commit for process in processes for commit in [process.environment.commit or stated] if commit}
    return tuple(sorted(found))


def _hardware(cost: ComputeCost) -> str:
    """The device, of a CPU with its threads."""
    return cost.device if cost.peak_device_memory is not None else f"{cost.device}, {counted(cost.threads, 'thread')}"
