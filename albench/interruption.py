"""Ctrl-C and SIGTERM, which SLURM sends, stop a command alike: one sentence, and 128 plus the signal as exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

_STOPPED = "albench: stopped; the same command continues after the last finished round"
_SHOW_CURSOR = b"\x1b[?25h"  # of a terminal, where a progress display hides it
_PATIENCE = 15.0  # seconds from SIGTERM to the end; SLURM kills after 30

_received: list[int] = []  # signals that arrived within `stoppable` and are not told yet, in order
_terminated: SimpleQueue[int] = SimpleQueue()  # unlike locks, a signal handler may use it at any moment


@contextmanager
def stoppable() -> Iterator[None]:
    """Stop the process in one sentence if a signal interrupts the block, whatever error that leads to.

    A signal that is ignored stays ignored, as Ctrl-C is in background jobs of a shell. Blocks may be nested. Only the
    main thread may enter one.
    """
    handlers = {signal.SIGINT: _interrupt, signal.SIGTERM: _terminate}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, handler)
    if before[signal.SIGTERM] is signal.SIG_DFL:
        threading.Thread(target=_exit_in_time, daemon=True).start()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or was_stopped():
            sys.exit(stop())
        raise
    finally:
        for number, earlier in before.items():
            if earlier is not None:
                signal.signal(number, earlier)


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Undo what a library does to SIGTERM in the block: Ray would end the process without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # by the handler of the library
        _received.append(signal.SIGTERM)
        raise _StopError from None
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def was_stopped() -> bool:
    """Whether a signal interrupted this process; an error that follows is then a consequence of it."""
    return bool(_received)


def stop() -> int:
    """Say that the command was stopped, and return its exit code: 130 after Ctrl-C, 143 after SIGTERM."""
    code = 128 + (_received[0] if _received else signal.SIGINT)
    _received.clear()
    print(_STOPPED, file=sys.stderr)
    return code


class _StopError(KeyboardInterrupt):
    """Another class, because Python ends with SIGINT if a KeyboardInterrupt itself has passed an `exec` of text."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        _exit(number)
    _received.append(number)
    raise _StopError


def _terminate(number: int, frame: FrameType | None) -> None:
    """What Ctrl-C does at this moment: Ray Tune, for example, replaces its handler while a suite runs."""
    if _imports(frame):
        _exit(number)
    _received.append(number)
    _terminated.put(number)
    ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(ctrl_c) or ctrl_c is _interrupt:
        raise _StopError
    ctrl_c(signal.SIGINT, frame)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: there, libraries turn an exception into others, or abort the process."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _exit_in_time() -> None:
    """After SIGTERM, end a process that waits in vain: for processes of Ray, for example, which SLURM ended too."""
    number = _terminated.get()
    time.sleep(_PATIENCE)
    _exit(number, told=not _received)


def _exit(number: int, *, told: bool = False) -> None:
    """Exit at once; finished rounds are on disk."""
    if not told:
        if os.isatty(1):
            os.write(1, _SHOW_CURSOR)
        os.write(2, f"{_STOPPED}\n".encode())
    os._exit(128 + number)
