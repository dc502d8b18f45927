"""Storage of the runs of a suite: a folder that every node can access, or a remote store with a copy on each node.

Runs are always written to a local folder. If the storage is remote, a run is fetched before it continues, and its new
files are sent after every round. Its records are sent last, because they decide which rounds are finished.
"""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from albench.data import cache_folder
from albench.errors import StoreError
from albench.runs.layout import RunLayout

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_RECORDS = RunLayout(Path()).records.name


class Storage(ABC):
    """The storage of a suite.

    Attributes:
        local: folder in which runs are written on this machine.
    """

    local: Path

    @abstractmethod
    def fetch(self, part: str) -> None:
        """Update a folder or a file below `local` from the storage. Raises StoreError."""

    @abstractmethod
    def send(self, part: str) -> None:
        """Update the storage from a folder or a file below `local`. Raises StoreError."""


class Folder(Storage):
    """A folder that every node can access: a disk of this machine, or NFS."""

    def __init__(self, local: Path) -> None:
        self.local = local

    def fetch(self, part: str) -> None:
        """Nothing to do: every node sees the folder."""

    def send(self, part: str) -> None:
        """Nothing to do: every node sees the folder."""


class Remote(Storage):
    """A remote store such as S3. Every node has a local copy.

    Args:
        files: the remote file system.
        root: folder of the suite in it.
        local: the local copy.
    """

    def __init__(self, files: FileSystem, root: str, local: Path) -> None:
        self._files, self._root, self.local = files, root.rstrip("/"), local
        self._known: dict[str, tuple[int, int]] = {}

    def fetch(self, part: str) -> None:
        """Copy missing files to here. If a run is here and there, the copy with more finished rounds wins.

        A single file is copied whether it is here or not.
        """
        with _one_sentence(self._root):
            if self._is_file(part):
                self._copy_here(part)
                return
            there = self._list(part)
            records = f"{part}/{_RECORDS}"
            ahead = self._lines(records, there) - _lines(self.local / records)
            if ahead < 0:
                self.send(part)
            if records in there and ahead <= 0:
                return
            if ahead > 0:
                shutil.rmtree(self.local / part, ignore_errors=True)
            for name in sorted(there, key=lambda name: name == records):
                if not (self.local / name).exists():
                    self._copy_here(name)

    def send(self, part: str) -> None:
        """Copy files that changed here to the store, and remove there what was removed here."""
        with _one_sentence(self._root):
            here = {path.relative_to(self.local).as_posix(): path for path in _files_of(self.local / part)}
            for name, path in sorted(here.items(), key=lambda item: item[0].endswith(_RECORDS)):
                if self._known.get(name) != _stamp(path):
                    self._copy_there(name, path)
            for name in [known for known in self._known if known.startswith(f"{part}/") and known not in here]:
                self._files.delete_file(f"{self._root}/{name}")
                del self._known[name]

    def _is_file(self, part: str) -> bool:
        from pyarrow.fs import FileType

        return bool(self._files.get_file_info(f"{self._root}/{part}").type is FileType.File)

    def _list(self, part: str) -> list[str]:
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(f"{self._root}/{part}", recursive=True, allow_not_found=True)
        found = [info.path for info in self._files.get_file_info(selector) if info.type is FileType.File]
        return [path.removeprefix(f"{self._root}/") for path in found]

    def _lines(self, name: str, there: Sequence[str]) -> int:
        if name not in there:
            return 0
        with self._files.open_input_stream(f"{self._root}/{name}") as stream:
            return int(stream.read().count(b"\n"))

    def _copy_here(self, name: str) -> None:
        from albench.files import atomic_write

        path = self.local / name
        with self._files.open_input_stream(f"{self._root}/{name}") as stream, atomic_write(path) as file:
            shutil.copyfileobj(stream, file)
        self._known[name] = _stamp(path)

    def _copy_there(self, name: str, path: Path) -> None:
        stamp = _stamp(path)
        self._files.create_dir(f"{self._root}/{name}".rpartition("/")[0], recursive=True)
        with path.open("rb") as file, self._files.open_output_stream(f"{self._root}/{name}") as stream:
            shutil.copyfileobj(file, stream)
        self._known[name] = stamp


@dataclass(frozen=True)
class StorageLocation:
    """The location of a suite, which every node opens for itself.

    Attributes:
        where: an absolute folder, or a URI that pyarrow or fsspec knows, such as s3://bucket/runs.
        suite: name of the suite.
        working: folder of the local copy of a remote store; None is the cache folder of the node.
    """

    where: str
    suite: str
    working: Path | None = None

    @property
    def uri(self) -> str:
        """Folder or URI of the suite."""
        return f"{self.where.rstrip('/')}/{self.suite}"


def open_storage(location: StorageLocation) -> Storage:
    """The storage of a suite. Raises StoreError if the kind of its URI is unknown."""
    if "://" not in location.where:
        return Folder(Path(location.uri))
    files, root = _file_system(location.where)
    copy = location.working or cache_folder() / "suites" / hashlib.sha256(location.where.encode()).hexdigest()[:8]
    return Remote(files, f"{root}/{location.suite}", copy / location.suite)


def _file_system(where: str) -> tuple[FileSystem, str]:
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        return FileSystem.from_uri(where)
    except Exception as unknown_to_pyarrow:  # pyarrow raises its own and operating system errors
        try:
            import fsspec

            files, root = fsspec.core.url_to_fs(where)
        except Exception as error:  # every file system of fsspec has errors of its own
            raise StoreError(
                f"--storage must be a folder or a URI that pyarrow or fsspec knows, got '{where}': {unknown_to_pyarrow}"
            ) from error
        return PyFileSystem(FSSpecHandler(files)), root


@contextmanager
def _one_sentence(root: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the storage '{root}' must be reachable and writable, it is not ({error}): run the same command again, "
            "finished rounds are kept on this machine"
        ) from error


def _files_of(folder: Path) -> Iterator[Path]:
    for path in [folder, *folder.rglob("*")]:
        if path.is_file() and not path.name.endswith((".lock", ".tmp")):
            yield path


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
