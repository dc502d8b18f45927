"""Ctrl-C and SIGTERM, which SLURM sends, stop a command alike: in one sentence, with 128 and the signal as exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_received: list[int] = []  # signals that arrived within `stoppable`, in order


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


def was_stopped() -> bool:
    """Whether a signal interrupted this process; an error that follows is then a consequence of it."""
    return bool(_received)


def stop() -> int:
    """Say that the command was stopped, and return the exit code of the process: 130 after Ctrl-C, 143 after SIGTERM."""
    code = 128 + (_received[0] if _received else signal.SIGINT)
    _received.clear()
    print("albench: stopped; the same command continues after the last finished round", file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    """What Ctrl-C does at this moment: Ray Tune, for example, replaces its handler while a suite runs."""
    _received.append(number)
    ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(ctrl_c) or ctrl_c is _interrupt:
        raise KeyboardInterrupt
    ctrl_c(signal.SIGINT, frame)
