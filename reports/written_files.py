"""The files of a report, listed beside it, so that a later report removes those that it does not write again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from albench.files import write_json
from albench.runs.verification import file_hash

LISTING = ".report.json"
"""Of the files in a folder: {part of the report: {relative path: SHA-256}}."""


def replace_part(out: Path, part: str, files: Sequence[Path]) -> None:
    """List the files of a part of a report, and remove those of its former version that are as albench wrote them.

    A file that is not listed, or that was edited since, stays.

    Args:
        out: folder of the report.
        part: one that is written as a whole, such as a format.
        files: of the part, below `out`.
    """
    listed = _read(out / LISTING)
    now = {file.relative_to(out).as_posix(): file_hash(file) for file in files}
    for name, digest in listed.get(part, {}).items():
        former = out / name
        if name in now or former.is_symlink() or not former.is_file():
            continue
        if former.resolve().is_relative_to(out.resolve()) and file_hash(former) == digest:
            former.unlink()
    write_json(out / LISTING, {**listed, part: now})


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The listing; empty if there is none that can be read, because then nothing is known to be albench's."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    parts = listed.items() if isinstance(listed, dict) else ()
    return {part: files for part, files in parts if isinstance(files, dict)}
