"""Where runs and manifests of suites lie below a folder, also behind symbolic links."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from albench.errors import StoreError
from albench.runs.layout import RunLayout
from albench.runs.manifest import MANIFEST
from albench.runs.reader import RunReader

_LAYOUT = RunLayout(Path())
_OF_A_RUN = {_LAYOUT.config.name, _LAYOUT.records.name}  # a run that lost one of them is damaged
_ROUNDS = _LAYOUT.round(0).folder.parent.name


@dataclass(frozen=True)
class Discovery:
    """What lies at or below a folder.

    Attributes:
        runs: sorted by folder; those whose folder cannot be read are among them.
        suites: folders with a manifest, sorted.
    """

    runs: list[RunReader]
    suites: list[Path]


def discover(out: Path) -> Discovery:
    """The runs and suites at or below a folder. Raises StoreError if it is not a folder."""
    if not out.is_dir():
        raise StoreError(f"runs must be in an existing folder, '{out}' is not one: give the --out of your runs")
    runs: list[Path] = []
    suites: list[Path] = []
    for folder, names in _folders(out):
        if names is None or names & _OF_A_RUN:
            runs.append(folder)
        if names and MANIFEST in names:
            suites.append(folder)
    return Discovery([RunReader(folder) for folder in sorted(runs)], sorted(suites))


def find_runs(out: Path) -> list[RunReader]:
    """All runs at or below a folder, sorted. Raises StoreError if it is not a folder."""
    return discover(out).runs


def _folders(out: Path) -> Iterator[tuple[Path, set[str] | None]]:
    """Every folder once, by its own path rather than by a link to it, with the names in it.

    The names are None if it cannot be read. Rounds of runs are left out, and so are hidden folders that cannot be read.
    """
    folders, links, seen = deque([out]), deque[Path](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                found = {entry.name: entry for entry in entries}
        except OSError:
            if not folder.name.startswith("."):
                yield folder, None
            continue
        yield folder, set(found)
        for name, entry in sorted(found.items()):
            if (name != _ROUNDS or not found.keys() & _OF_A_RUN) and _is_folder(entry):
                (links if entry.is_symlink() else folders).append(folder / name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
