"""Writing that is never half done: to a temporary name, flushed, then renamed; and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from albench.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only when the block ends well.

    Raises:
        StoreError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # its folder may not exist
            temporary.unlink()
        raise


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, value: object) -> None:
    """Write tensors, and plain values that hold them, as torch does, atomically."""
    import torch

    content = io.BytesIO()  # torch hides the error of a full disk
    torch.save(value, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about a disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"the disk must have room for '{path}', it is full: free some space and run the same command "
                "again; finished rounds are kept"
            ) from error
        if error.errno in _UNWRITABLE:
            raise StoreError(
                f"'{path}' must be writable, the system says '{error.strerror}': choose another folder"
            ) from error
        raise


@contextmanager
def locked(path: Path, *, wait: bool, leave: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock that the kernel drops when the process dies. Yields whether it was got.

    Args:
        leave: keep the file afterwards; otherwise whoever had the lock removes it.
    """
    with ExitStack() as held:
        while True:
            with translate_os_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(path.open("a"))
            got = _lock(file, wait=wait)
            if not got or _is_at(file, path):
                break
            file.close()  # its last holder has removed it: nobody else would see this lock
        try:
            yield got
        finally:
            if got and not leave:
                path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock. The file may be missing or read-only."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[Any], *, wait: bool) -> bool:
    """Try for half a second if not to wait: `is_locked` holds a lock for a moment."""
    if wait:
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    for _ in range(5):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False
