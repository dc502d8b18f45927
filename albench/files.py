"""Atomic writes (to a temporary file, flushed, then renamed), and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import stat
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
_BLOCK = 1 << 20  # bytes
_TRIES = 10  # to open a temporary file before another process removes it


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends without an error.

    What killed processes left beside `path` when they wrote it is removed.

    Raises:
        StoreError: `path` exists and is not a regular file, the disk is full or the folder is not writable; `path` is
            unchanged.
    """
    _check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            with _open_locked(temporary) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # its folder may not exist
            temporary.unlink()
        raise


def digest_of(file: BinaryIO, algorithm: str = "sha256") -> str:
    """The digest of what is left to read of an open file, in hexadecimal, block by block."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_tensors(path: Path, value: object) -> None:
    """Write tensors, or containers of tensors, with `torch.save`, atomically."""
    import torch

    content = io.BytesIO()  # torch hides the error of a full disk
    torch.save(value, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def is_file(path: Path) -> bool:
    """Whether a path that a user gives is a file; one that the system rejects, as too long, is not."""
    with suppress(OSError):
        return path.is_file()
    return False


def is_folder(path: Path) -> bool:
    """As `is_file`, for a folder."""
    with suppress(OSError):
        return path.is_dir()
    return False


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about a disk into a StoreError."""
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
    """Hold an exclusive lock, which the kernel releases when the process dies. Yields whether it was acquired.

    Args:
        path: the lock file.
        wait: wait until the lock is free.
        leave: keep the file afterwards; otherwise the holder removes it.
    """
    with ExitStack() as held:
        while True:
            with translate_os_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(path.open("a"))
            got = _lock(file, wait=wait)
            if not got or _is_at(file, path):
                break
            file.close()  # the last holder removed this file, so another process would lock a new one
        try:
            yield got
        finally:
            if got and not leave:
                path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock. The file may be missing or read-only; what cannot be opened holds none."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _check_replaceable(path: Path) -> None:
    """Raise StoreError if something else than a regular file is at `path`, because a rename would put an end to it."""
    with translate_os_errors(path):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"))
        kind = next((name for is_kind, name in kinds if is_kind(mode)), "a device or a socket")
        raise StoreError(
            f"a file is written to a new path or in place of a regular file, '{path}' is {kind}: choose another path"
        )


def _open_locked(temporary: Path) -> BinaryIO:
    """Open a temporary file, with a lock as long as it is open, by which others see that it is no leftover."""
    for _ in range(_TRIES):
        file = temporary.open("wb")
        with suppress(OSError):  # of a file system without locks, where nothing counts as a leftover
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(file, temporary):
            break
        file.close()  # another process removed it before it was locked
    else:  # the file system gives one file several numbers
        file = temporary.open("wb")
    return file


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` that belong to this user and that no process holds open."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    with suppress(OSError):
        for leftover in [entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name)]:
            with suppress(OSError), open(leftover, "rb", opener=_open_regular) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file of this user. Raises OSError for anything else, without waiting for the end of a pipe."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[Any], *, wait: bool) -> bool:
    """Without `wait`, try for half a second, because `is_locked` holds the lock for a moment."""
    if wait:
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    for _ in range(5):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False
