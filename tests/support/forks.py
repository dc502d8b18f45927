"""Processes for tests that start at once: forks of a server that has only imported what they all import.

Like fresh processes, they have seen no data and share nothing with others but the seed of Python's hashes. A fresh
process would import torch and MONAI for seconds.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

_IMPORTED = (
    *("albench.audit.fresh_process", "albench.cli.main", "albench.loop", "albench.testing"),
    *("monai.networks.nets", "torch._dynamo", "scipy.ndimage", "sklearn.cluster"),
)
_SERVER = f"""
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from support import forks
forks.run(*forks.serve(sys.argv[1]))
"""
_COMMAND = "from albench.cli.main import main; main()"
Job = tuple[CodeType, AbstractContextManager[None]]
_address = ""  # of the server, as soon as it runs


class Fork:
    """A process, with the part of `subprocess.Popen` that tests and audits use.

    Args:
        command: `python -c CODE ...`, or the path of `albench` and its arguments.
        env: its variables; None are those of this process.
        cwd: its folder; None is that of this process.
        audits: whether audits that it makes ask forks, too.
        streams: not used: it can read a text, and what it writes is kept.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        audits: bool = False,
        **streams: Any,
    ) -> None:
        self.returncode: int | None = None
        self._written = [tempfile.TemporaryFile("w+") for _ in ("output", "errors")]  # noqa: SIM115
        given, self._given = os.pipe()
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_address or _start_server())
        with tempfile.TemporaryFile("w+") as job:
            variables = dict(os.environ if env is None else env)
            json.dump([list(command), variables, str(cwd or Path.cwd()), audits], job)
            job.flush()
            files = job.fileno(), given, *(stream.fileno() for stream in self._written)
            socket.send_fds(self._connection, [b"fork"], files)
            os.close(given)
            self._replies = self._connection.makefile()
            self.pid = int(self._replies.readline())

    def communicate(self, text: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Let it read a text, wait until it ends, and return what it wrote to its output and to its errors."""
        if self.returncode is None:
            with suppress(BrokenPipeError), os.fdopen(self._given, "w") as given:
                given.write(text)
            if not select.select([self._connection], [], [], timeout)[0]:
                self.kill()
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._replies.readline()))
        for stream in self._written:
            stream.seek(0)
        out, errors = (stream.read() for stream in self._written)
        return out, errors

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def run_fork(*command: str, cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """Do what `subprocess.run` does, with audits that ask forks."""
    fork = Fork(command, cwd=cwd, audits=True)
    out, errors = fork.communicate(timeout=timeout)
    assert fork.returncode is not None
    return subprocess.CompletedProcess(command, fork.returncode, out, errors)


@contextmanager
def audits_by_forks() -> Iterator[None]:
    """Let audits ask forks and not fresh processes."""
    with patch("albench.audit.fresh_process.subprocess", SimpleNamespace(Popen=Fork, PIPE=None, DEVNULL=None)):
        yield


def serve(folder: str) -> Job:
    """Fork for everyone who connects, until the process ends that started this one. Returns only in forks."""
    global _address
    for name in _IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # a fork copies every page that it writes, as a collection does
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _address = f"{folder}/forks"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(_address)
    listener.listen()
    print("listening", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin.fileno()], [], [])
        if sys.stdin.fileno() in ready:
            shutil.rmtree(folder)
            raise SystemExit
        connection, _ = listener.accept()
        with connection:
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                return _job(connection)


def run(code: CodeType, context: AbstractContextManager[None]) -> None:
    """Run the code of a fork as Python does, but end without removing what was imported, which takes seconds."""
    status: object = 0
    try:
        with context:
            exec(code, {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        status = 1
        traceback.print_exc()
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _job(connection: socket.socket) -> Job:
    """What a process shall do, in that process, whose parent says its number and its end."""
    _, files, _, _ = socket.recv_fds(connection, len(b"fork"), 4)
    process = os.fork()
    if process:
        for file in files:
            os.close(file)
        connection.sendall(f"{process}\n".encode())
        connection.sendall(f"{os.waitpid(process, 0)[1]}\n".encode())
        os._exit(0)
    with os.fdopen(files[0]) as job:
        job.seek(0)
        command, variables, folder, audits = json.load(job)
    for number, file in enumerate(files[1:]):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    np.random.seed()  # as in a fresh process; Python seeds its own generator in a fork
    torch.seed()
    given = command[1:2] == ["-c"]
    sys.argv[:] = ["-c", *command[3:]] if given else command
    code = compile(command[2] if given else _COMMAND, "<string>", "exec")
    return code, audits_by_forks() if audits else nullcontext()


def _start_server() -> str:
    global _address
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-c", _SERVER, folder]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    atexit.register(process.communicate)  # closes its input, at which it ends
    _address = f"{folder}/forks"
    return _address
