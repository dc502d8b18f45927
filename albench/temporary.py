"""Temporary folders. One that a killed process leaves behind is removed when the next one is made in the same place."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from albench.data.marks import is_marked, lock_of, make_marked, remove_marked
from albench.errors import StoreError
from albench.files import is_locked, locked, translate_os_errors


@contextmanager
def temporary_folder(place: Path | None = None, prefix: str = "albench-") -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it after the block.

    It bears the mark of albench, and its lock is held until then. Before that, folders are removed whose name begins
    alike, which bear such a mark, belong to this user, and whose lock no process holds any more.

    Args:
        place: where it is made; None is the folder of the system for temporary files.
        prefix: of its name.

    Raises:
        StoreError: it cannot be made.
    """
    place = place or temporary_place()
    _remove_leftovers(place, prefix)
    folder = place / f"{prefix}{secrets.token_hex(4)}"
    with locked(lock_of(folder), wait=True, leave=False):
        with translate_os_errors(folder):
            folder.mkdir(mode=0o700)
        try:
            make_marked(folder)
            yield folder
        finally:
            with suppress(StoreError):  # it is still marked, so another call removes it
                remove_marked(folder)


def temporary_place() -> Path:
    """The folder of the system for temporary files. Raises StoreError: none is writable."""
    try:
        return Path(tempfile.gettempdir()).absolute()
    except FileNotFoundError:
        raise StoreError(
            "one folder for temporary files must be writable, TMPDIR, /tmp, /var/tmp and the current folder are not: "
            "set TMPDIR to one that is"
        ) from None


def _remove_leftovers(place: Path, prefix: str) -> None:
    with suppress(OSError):  # a folder for temporary files need not be readable, and others remove theirs meanwhile
        for folder in [path for path in place.iterdir() if path.name.startswith(prefix)]:
            with suppress(OSError, StoreError):
                if _is_own(folder) and not is_locked(lock_of(folder)):
                    with locked(lock_of(folder), wait=False, leave=False) as free:
                        if free and _is_own(folder):
                            remove_marked(folder)


def _is_own(folder: Path) -> bool:
    """Whether albench made this folder, for this user."""
    return folder.lstat().st_uid == os.geteuid() and is_marked(folder)
