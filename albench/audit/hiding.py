"""Hiding files, processes and connections from everything that runs in this process, by a hook of the interpreter.

Masks may lie anywhere: in the files of the data, in the runs, in a file that an earlier process has left. So everything
is hidden but code, what belongs to the system, and what is named.
"""

from __future__ import annotations

import errno
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_SYSTEM = ("/etc", "/dev", "/sys", "/proc", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share")
_CODE = (".py", ".pyc", ".so", ".pyd", ".dylib", ".pth")
_READS = ("sqlite3.connect", "os.rename", "os.link", "os.symlink")
_LISTS = ("os.listdir", "os.scandir")
_LEAVES = (
    *("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "pty.spawn"),
    "socket.connect",
)


class Hiding:
    """What is hidden, from the call of `begin` to the end of the process.

    Args:
        shown: files and folders that may be read.

    Attributes:
        noticed: what was asked for and hidden, in order.
    """

    def __init__(self, shown: Iterable[Path]) -> None:
        self._shown = [os.path.realpath(path) for path in (*map(str, shown), *_SYSTEM)]
        libraries = [path for name, path in sysconfig.get_paths().items() if name.endswith(("lib", "stdlib"))]
        libraries += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        self._libraries = list(map(_plain, libraries))
        self._imports = {os.path.realpath(path) for path in sys.path}
        self._made: set[str] = set()
        self.noticed: list[str] = []

    def begin(self) -> None:
        """Hide from now on; there is no way back."""
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            self._on_open(*arguments[:3])
        elif event in _READS:
            self._check(arguments[0])
        elif event in _LISTS:
            self._check(arguments[0] or ".", listing=True)
        elif event in _LEAVES:
            self.noticed.append(event)
            raise PermissionError(errno.EPERM, f"an audited query starts no process and no connection ({event})")

    def _on_open(self, path: object, mode: object, flags: object) -> None:
        assert isinstance(flags, int)
        new = flags & os.O_TRUNC or (flags & os.O_CREAT and flags & os.O_EXCL)
        if new and not isinstance(path, int):
            self._made.add(_real(path))
        elif flags & os.O_ACCMODE != os.O_WRONLY:
            self._check(path)

    def _check(self, path: object, *, listing: bool = False) -> None:
        """Raise FileNotFoundError if a path is hidden."""
        if isinstance(path, int):  # what is open already
            return
        real = _real(path)
        package = real in self._imports or Path(real, "__init__.py").exists()
        as_code = package if listing else real.endswith(_CODE)
        as_library = any(_inside(_plain(path), folder) for folder in self._libraries)
        as_shown = any(_inside(real, folder) for folder in self._shown) and not _of_another_process(real)
        if as_code or as_library or as_shown or real in self._made:
            return
        if os.path.lexists(real):
            self.noticed.append(real)
        raise FileNotFoundError(errno.ENOENT, "hidden by the audit", real)


def _real(path: object) -> str:
    return os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]


def _plain(path: object) -> str:
    """With links not followed: packages may be links to another place."""
    return os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH100


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _of_another_process(real: str) -> bool:
    _, top, *rest = real.split("/")
    return top == "proc" and bool(rest) and rest[0].isdigit() and rest[0] != str(os.getpid())
