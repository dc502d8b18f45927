"""Training one run in several processes at the same time on one device, to see how fast they are together."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from albench.benchmarks.suite import RunSpec
from albench.benchmarks.timed_training import Failed, TimedTraining, answer
from albench.temporary import temporary_folder

_SECONDS = 4.0
_PATIENCE = 300.0  # seconds until all processes are ready, or have finished


class ProbeError(Exception):
    """The processes could not train at the same time; the message says why."""


def train_side_by_side(
    spec: RunSpec, processes: int, device: str, threads: int, graphs: bool, seconds: float = _SECONDS
) -> list[TimedTraining]:
    """Train a run in several new processes, which begin to measure when all are ready.

    Args:
        spec: the run.
        processes: their number.
        device: as `choose_device` names it.
        threads: CPU threads of each process.
        graphs: replay training passes as CUDA graphs.
        seconds: time to measure.

    Returns:
        What each process measured.

    Raises:
        ProbeError: one of them failed, died, or was not ready in time. No process is left, also after Ctrl-C.
    """
    spawning = multiprocessing.get_context("spawn")
    started, connections = [], []
    with temporary_folder() as folder:
        try:
            for index in range(processes):
                ours, theirs = spawning.Pipe()
                connections.append(ours)
                arguments = (theirs, spec, folder / str(index), device, threads, graphs, seconds)
                process = spawning.Process(target=answer, args=arguments, daemon=True)
                process.start()
                started.append(process)
                theirs.close()  # so that the connection ends with the process
            _answers(connections, _PATIENCE)
            for connection in connections:
                connection.send(None)
            return _answers(connections, _PATIENCE + seconds)
        except (EOFError, ConnectionError) as error:
            raise ProbeError("a process died") from error
        finally:
            for process in started:
                process.kill()
                process.join()
            for connection in connections:
                connection.close()


def _answers(connections: Sequence[Connection], patience: float) -> list[Any]:
    """What every process sends next. Raises ProbeError if one failed or says nothing, EOFError if it died."""
    end, answers = time.monotonic() + patience, []
    for connection in connections:
        if not connection.poll(max(0.0, end - time.monotonic())):
            raise ProbeError(f"a process did not answer within {patience:.0f} s")
        answers.append(connection.recv())
        if isinstance(answers[-1], Failed):
            raise ProbeError(answers[-1].reason)
    return answers
