"""Marks of what albench made, in its cache and among downloads: nothing without one is deleted.

A folder contains its mark, a file has it beside it. A mark names its entry, so that a copy under another name has none.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from albench.files import translate_os_errors, write_json

_MARK = ".albench.json"
PARTIAL = ".partial"  # ends the name of an entry that is being made


def make_marked(folder: Path) -> None:
    """Create a folder with its mark, which holds after a rename that takes away `.partial`; an existing one is used.

    Raises:
        StoreError: it cannot be written.
    """
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        new = not any(folder.iterdir())
    if new:
        write_json(folder / _MARK, {"entry": _entry(folder)})


def mark_content(folder: Path) -> None:
    """Mark a folder with all that it contains: with a file more, or another file, it will not count as marked."""
    write_json(folder / _MARK, {"entry": _entry(folder), "files": _files(folder)})


def mark_file(made: Path, path: Path) -> None:
    """Mark the file `made`, which will be moved to `path`: another size or time and it will not count as marked."""
    write_json(_beside(path), {"entry": path.name, "file": _state(made)})


def is_marked(path: Path) -> bool:
    """Whether albench made this file or folder, under this name and with this content; false for a symbolic link."""
    if path.is_symlink():
        return False
    try:
        if not path.is_dir():
            mark = json.loads(_beside(path).read_text())
            return bool(mark["entry"] == path.name and mark["file"] == _state(path))
        mark = json.loads((path / _MARK).read_text())
        files = mark.get("files")
        return bool(mark["entry"] == _entry(path) and (files is None or files == _files(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def is_mark(path: Path) -> bool:
    """Whether a file is the mark of another."""
    return path.name.endswith(_MARK)


def remove_marked(path: Path) -> None:
    """Delete a marked file or folder, and its mark last. Raises StoreError: it cannot be deleted."""
    with translate_os_errors(path):
        if path.is_dir():
            for entry in path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry.name != _MARK:
                    entry.unlink()
            shutil.rmtree(path)
        else:
            path.unlink()
            _beside(path).unlink()


def lock_of(path: Path) -> Path:
    """The lock that is held while an entry is made."""
    return path.with_name(f"{_entry(path).removeprefix('.')}.lock")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; a symbolic link is not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def _entry(path: Path) -> str:
    return path.name.removesuffix(PARTIAL)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_MARK}")


def _state(path: Path) -> list[int]:
    stat = path.lstat()
    return [stat.st_size, stat.st_mtime_ns]


def _files(folder: Path) -> dict[str, list[int]]:
    """Size and time of modification of everything in a folder but its mark and its folders."""
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return {str(path.relative_to(folder)): _state(path) for path in sorted(found) if path != folder / _MARK}
