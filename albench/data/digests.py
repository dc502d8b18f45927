"""SHA-256 of files, remembered in the cache, so that an unchanged file is read once.

A file counts as unchanged if its inode, size, times of modification and of change of status, and a sample of its bytes
are those of before. The sample is all of a small file, otherwise eight blocks from its first to its last bytes; those
of a compressed file contain the checksum of its content. The device is left out, because on a network file system it
is another number on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from albench.data.paths import cache_folder
from albench.errors import StoreError
from albench.files import digest_of, write_json

_BLOCKS, _BLOCK = 8, 4096  # of a sample; bytes


def file_digests(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and SHA-256 of each file. The cache may be read-only: nothing is remembered then."""
    if not paths:
        return []
    where = hashlib.sha256(str(paths[0].resolve().parent).encode()).hexdigest()[:16]
    index_path = cache_folder() / "digests" / f"{where}.json"
    index = _read(index_path)
    names = [str(path.resolve()) for path in paths]
    known: dict[str, list[object]] = {}
    for name, path in zip(names, paths, strict=True):
        with path.open("rb") as file:
            seen = _seen(file)
            before = index.get(name)
            if isinstance(before, list) and before[:-1] == seen and len(before) > len(seen):
                known[name] = before
            else:
                known[name] = [*seen, digest_of(file)]
    if known != index:
        with suppress(StoreError):
            write_json(index_path, known)
    return [(path.name, str(known[name][-1])) for name, path in zip(names, paths, strict=True)]


def _read(index_path: Path) -> dict[str, Any]:
    """What is remembered; nothing if it cannot be read."""
    try:
        index = json.loads(index_path.read_text())
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _seen(file: BinaryIO) -> list[object]:
    """What must be equal for the file to count as unchanged."""
    stat = os.fstat(file.fileno())
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, _sample(file, stat.st_size)]


def _sample(file: BinaryIO, size: int) -> str:
    """SHA-256 of blocks of the file."""
    last = max(0, size - _BLOCK)
    starts = sorted({last * index // (_BLOCKS - 1) for index in range(_BLOCKS)}) if last > 0 else [0]
    digest = hashlib.sha256()
    for start in starts:
        digest.update(os.pread(file.fileno(), _BLOCK, start))
    return digest.hexdigest()
