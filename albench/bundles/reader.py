"""Reading a bundle: its runs, as reports read those of a folder."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import error as ZlibError

from pydantic import ValidationError

from albench.bundles.manifest import (
    BUNDLE,
    QUERIES,
    REMEDY,
    ROUNDS,
    SCORES,
    BundledMethod,
    BundledRunRecord,
    BundleManifest,
)
from albench.bundles.public import config_of
from albench.bundles.tables import BundledRound, Named, read_rounds, unpacked
from albench.errors import StoreError
from albench.files import is_file
from albench.masks import Mask
from albench.runs.array_files import Arrays
from albench.runs.documents import read_document
from albench.runs.layout import folder_name
from albench.runs.records import (
    FORMAT,
    AuditRecord,
    ProcessRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)
from albench.runs.stored_run import StoredRun


class BundledRun(StoredRun):
    """A run of a bundle, which was read whole. Its records have no hashes of files, and its queries no scores."""

    has_images = False

    def __init__(
        self,
        folder: Path,
        manifest: BundleManifest,
        record: BundledRunRecord,
        config: StoredConfig,
        rounds: Sequence[BundledRound],
    ) -> None:
        self.folder = folder
        self._manifest, self._record, self._config, self._rounds = manifest, record, config, rounds

    @property
    def stored_config(self) -> StoredConfig:
        """The settings, with the version that wrote them; without those that say where data and files lie."""
        return self._config

    @property
    def processes(self) -> tuple[ProcessRecord, ...]:
        """The processes that wrote rounds, in order."""
        return self._manifest.environments[self._record.environment]

    @property
    def split(self) -> SplitRecord:
        """Who is in which part, and the initial slices."""
        return self._manifest.splits[self._record.split].split

    @property
    def records(self) -> tuple[RoundRecord, ...]:
        """The finished rounds, in order."""
        return tuple(one.record for one in self._rounds)

    @property
    def ledger(self) -> str:
        """The SHA-256 of the last record of the run."""
        return self._record.ledger

    def query(self, index: int) -> QueryRecord:
        """What was queried after a round, without scores."""
        return self._rounds[index].query or QueryRecord((), (), None)

    def audit(self, index: int) -> AuditRecord | None:
        """The verdict of the audit of the query after a round, without its sentence; None if it was not audited."""
        return self._rounds[index].audit

    def arrays(self, index: int) -> Arrays:
        """Nothing, because a bundle has no images."""
        return {}

    def snapshots(self) -> Arrays:
        """Nothing, likewise."""
        return {}

    def predictions(self, index: int) -> Mapping[int, Mask]:
        """Nothing, likewise."""
        return {}

    def largest_foreground(self) -> Mapping[str, float]:
        """As the run had it."""
        return self._manifest.splits[self._record.split].largest_foreground

    def gain_over_everything(self, index: int) -> float:
        """As the run had it."""
        return self._rounds[index].gain_over_everything


@dataclass(frozen=True)
class Bundle:
    """Published results.

    Attributes:
        folder: of the bundle.
        manifest: what it holds.
        runs: of it, with their names.
    """

    folder: Path
    manifest: BundleManifest
    runs: list[Named]


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle."""
    return is_file(folder / BUNDLE)


def read_manifest_of(folder: Path) -> BundleManifest:
    """The manifest of a bundle. Raises StoreError if it is missing, damaged, was changed, or is of another format."""
    return read_document(BundleManifest, folder / BUNDLE, REMEDY)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle.

    Raises:
        StoreError: a file of it is missing, damaged, was changed after it was written, or is of another format.
    """
    manifest = read_manifest_of(folder)
    scores, rounds, queries = (_content(folder / name, manifest.files.get(name)) for name in (SCORES, ROUNDS, QUERIES))
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))  # a cell holds the seconds of all epochs of a round
    try:
        found = read_rounds(unpacked(scores), unpacked(rounds), unpacked(queries))
        runs = [_run(folder, manifest, method, record, found) for method, record in manifest.runs]
    except (StoreError, ValueError, KeyError, IndexError, TypeError, OSError, EOFError, ZlibError, csv.Error) as error:
        why = error if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"'{folder}' must be a bundle as albench wrote it, {why}: {REMEDY}") from error
    return Bundle(folder, manifest, runs)


def _content(path: Path, expected: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise StoreError(f"'{path}' {reason}: {REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise StoreError(
            f"'{path}' was changed after the bundle was written, it does not match its SHA-256 in '{BUNDLE}': {REMEDY}"
        )
    return content


def _run(
    folder: Path,
    manifest: BundleManifest,
    method: BundledMethod,
    record: BundledRunRecord,
    rounds: Mapping[str, Sequence[BundledRound]],
) -> Named:
    try:
        config = config_of(manifest.settings[record.settings], method.strategy, method.tuning, record.seed)
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(f"{'.'.join(map(str, first['loc']))} of {record.folder} is wrong ({first['msg']})") from error
    own = Path(record.folder).name
    if own not in (folder_name(config), folder_name(config, code=True)):
        raise StoreError(f"the settings of {record.folder} belong to '{folder_name(config)}'")
    stored = StoredConfig(FORMAT, record.albench, config)
    run = BundledRun(folder / record.folder, manifest, record, stored, rounds[record.folder])
    return Named(method.label, method.group, method.dataset, record.folder, run)
