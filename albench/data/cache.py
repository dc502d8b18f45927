"""What is in the cache of prepared sets and downloads, and the removal of what albench made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from albench.data.marks import PARTIAL, is_mark, is_marked, lock_of, remove_marked, size_of
from albench.data.paths import cache_folder, downloads_folder
from albench.data.problems import Problem
from albench.data.stored_set import META, changed_since, read_set
from albench.errors import StoreError
from albench.files import locked

_NAME = re.compile(r"(?P<title>.+)-[0-9a-f]{16}(\.partial)?")


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on disk, complete or interrupted.

    Attributes:
        folder: where it is.
        title: of the dataset.
        size: bytes on disk.
        marked: whether it bears the mark of albench; without it, only the name tells that it is a prepared set.
        cases: how many; None if it is not complete.
        slices: how many; None if it is not complete.
        options: of the dataset that it was made with; empty if it is not complete.
    """

    folder: Path
    title: str
    size: int
    marked: bool
    cases: int | None = None
    slices: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The beginning of the hash in its name, which tells it from others of its title."""
        return self.folder.name.removesuffix(PARTIAL).rpartition("-")[2][:8]


@dataclass(frozen=True)
class Removal:
    """What was removed from the cache, and what was not.

    Attributes:
        freed: bytes.
        busy: entries that another process is making at this moment.
        unmarked: entries without a mark of albench.
    """

    freed: int
    busy: tuple[Path, ...]
    unmarked: tuple[Path, ...]


def prepared_sets() -> Iterator[PreparedSet]:
    """Every folder that has the name of a prepared set or of an interrupted preparation, sorted by name."""
    cache = cache_folder()
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        name = _NAME.fullmatch(folder.name)
        if name is None or not folder.is_dir():
            continue
        known = PreparedSet(folder, name["title"], size_of(folder), is_marked(folder))
        try:
            meta = json.loads((folder / META).read_text())
            counts, options = meta["counts"], dict(meta["options"])
            yield replace(known, cases=len(counts), slices=sum(counts), options=options)
        except (OSError, ValueError, KeyError, TypeError):
            yield known


def cache_problems() -> Iterator[Problem]:
    """Every complete prepared set that is damaged, and every case in it that was changed; reads everything."""
    for prepared in prepared_sets():
        if prepared.cases is None and not (prepared.marked and prepared.folder.suffix != PARTIAL):
            continue
        try:
            changed = list(read_set(prepared.folder).changed_cases())
        except StoreError as error:
            yield Problem(str(prepared.folder), str(error))
        else:
            yield from (Problem(str(prepared.folder), changed_since(prepared.folder, case)) for case in changed)


def downloaded() -> list[Path]:
    """Everything in the folder of downloads, or that folder itself if it is a symbolic link."""
    folder = downloads_folder()
    if folder.is_symlink():
        return [folder]
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if not is_mark(path) and path.suffix != ".lock"]


def remove(entries: Iterable[Path]) -> Removal:
    """Delete entries of the cache that albench made; runs that have a prepared set open can still read it.

    Raises:
        StoreError: one cannot be deleted.
    """
    freed, busy, unmarked = 0, [], []
    for path in entries:
        if not is_marked(path):
            unmarked.append(path)
            continue
        with locked(lock_of(path), wait=False, leave=False) as free:
            if free:
                size = size_of(path)
                remove_marked(path)
                freed += size
            else:
                busy.append(path)
    return Removal(freed, tuple(busy), tuple(unmarked))
