"""What is in the cache of prepared sets and downloads, and its removal."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from albench.data.paths import cache_folder, downloads_folder
from albench.files import locked, translate_os_errors

_NAME = re.compile(r"(?P<title>.+)-[0-9a-f]{16}(?P<partial>\.partial)?")


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on disk, complete or interrupted.

    Attributes:
        folder: where it is.
        title: of the dataset.
        size: bytes on disk.
        cases: how many; None if the preparation was interrupted.
        slices: how many; None if the preparation was interrupted.
    """

    folder: Path
    title: str
    size: int
    cases: int | None = None
    slices: int | None = None


def prepared_sets() -> Iterator[PreparedSet]:
    """Every prepared set and every interrupted preparation, sorted by name."""
    cache = cache_folder()
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        name = _NAME.fullmatch(folder.name)
        if name is None or not folder.is_dir():
            continue
        try:
            counts = json.loads((folder / "meta.json").read_text())["counts"]
        except (OSError, ValueError, KeyError, TypeError):
            yield PreparedSet(folder, name["title"], size_of(folder))
        else:
            yield PreparedSet(folder, name["title"], size_of(folder), len(counts), sum(counts))


def remove_prepared(prepared: PreparedSet) -> bool:
    """Delete a set; runs that have it open can still read it. False if it is being prepared at this moment."""
    lock = prepared.folder.with_name(f"{prepared.folder.name.removesuffix('.partial')}.lock")
    with locked(lock, wait=False, leave=False) as free:
        if free:
            with translate_os_errors(prepared.folder):
                shutil.rmtree(prepared.folder)
        return free


def remove_downloads() -> int:
    """Delete downloaded archives and the folders unpacked from them; returns the freed bytes."""
    size = size_of(downloads_folder())
    with translate_os_errors(downloads_folder()):
        shutil.rmtree(downloads_folder(), ignore_errors=not downloads_folder().exists())
    return size


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
