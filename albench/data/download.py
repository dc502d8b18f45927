"""Download of a public archive: it resumes after a broken connection and verifies the checksum."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from albench.data.dataset import Archive
from albench.data.marks import lock_of, make_marked, mark_file, remove_marked
from albench.errors import DataError
from albench.files import digest_of, locked, translate_os_errors

Received = Callable[[int, int | None], None]  # bytes so far; bytes of the whole file, if the server reports them

_BLOCK = 1 << 20
_TRIES = 4  # in succession without any data
_TIMEOUT = 60.0  # seconds of silence


def fetch(archive: Archive, received: Received, pause: float = 2.0) -> Path:
    """Download an archive unless it exists, and resume where an earlier attempt stopped.

    Args:
        received: called after every block.
        pause: seconds before the next attempt after a broken connection.

    Returns:
        The path of the archive.

    Raises:
        DataError: the server cannot be reached, or its file has another checksum.
        StoreError: the folder cannot be written.
    """
    path, partial = archive.path, archive.path.with_name(f".{archive.path.name}.partial")
    part = partial / path.name
    with locked(lock_of(path), wait=True, leave=False):
        if not path.exists():
            make_marked(partial)
            _receive(archive.url, part, received, pause)
            _check(archive, part)
            mark_file(part, path)
            part.replace(path)
            remove_marked(partial)
    return path


def _receive(url: str, part: Path, received: Received, pause: float) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            _receive_rest(url, part, received)
            return
        except urllib.error.HTTPError as error:
            raise DataError(
                f"'{url}' must exist, the server answers {error.code} {error.reason}: download the archive by hand"
            ) from error
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == _TRIES:
                reason = getattr(error, "reason", error)
                raise DataError(
                    f"'{url}' must be reachable, the connection failed after {_size(part) >> 20} MiB ({reason}): run "
                    "the same command again to resume, or download the archive by hand"
                ) from error
            time.sleep(pause)


def _receive_rest(url: str, part: Path, received: Received) -> None:
    """Request the missing bytes over one connection and append them."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # no bytes are missing; the checksum decides
            return
        raise
    with response, translate_os_errors(part), part.open("ab" if response.status == 206 else "wb") as file:
        have = have if response.status == 206 else 0
        rest = response.length
        total = None if rest is None else have + rest
        received(have, total)
        while block := response.read(_BLOCK):
            file.write(block)
            have += len(block)
            received(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"it ended {total - have} bytes early")


def _check(archive: Archive, part: Path) -> None:
    with part.open("rb") as file:
        found = digest_of(file, "md5")
    if found != archive.md5:
        part.unlink()
        raise DataError(
            f"the archive from '{archive.url}' must have the MD5 sum {archive.md5}, it has {found} and "
            "is removed: run the same command again, or download it by hand"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
