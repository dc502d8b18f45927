"""One process of the probe that finds how many runs share a GPU: it trains a run for a few seconds.

It is a run of the suite with its data, network, loss and batches, in which round 0 only takes optimizer steps until the
time is up. It tells the process that started it when its first steps are done, and waits until all are ready.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from albench.benchmarks.plan import resolve_run
from albench.benchmarks.suite import RunSpec
from albench.benchmarks.trial import sentence
from albench.errors import AlbenchError
from albench.loop import run
from albench.run_session import Execution
from albench.training.device import choose_device

_WARM_UP = 10  # optimizer steps before the first that counts
_CONTEXT = 1 << 29  # bytes that CUDA takes per process, about, beside the memory of tensors
_ENDLESS: Mapping[str, object] = {
    **{"training.stop": "steps", "training.steps": 10**9},
    **{"protocol.compute": "own", "protocol.steps": None, "protocol.rounds": 0},
}


@dataclass(frozen=True)
class TimedTraining:
    """What one process measured.

    Attributes:
        steps: optimizer steps per second.
        memory: bytes of the GPU at the peak of the process; 0 on a CPU.
        free: bytes of the GPU that were free before the process started; 0 on a CPU.
    """

    steps: float
    memory: int
    free: int


@dataclass(frozen=True)
class Failed:
    """Why a process could not train, in one sentence."""

    reason: str


def answer(
    parent: Connection, spec: RunSpec, folder: Path, device: str, threads: int, graphs: bool, seconds: float
) -> None:
    """Send None when the first steps are done, wait for any object, and send a TimedTraining; after an error, Failed.

    The process prints nothing. It ignores Ctrl-C, because the parent ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)

    def wait() -> None:
        parent.send(None)
        parent.recv()

    try:
        execution = Execution(choose_device(device, threads), graphs=graphs)
        parent.send(timed_training(spec, folder, execution, seconds, wait))
    except Exception as error:
        parent.send(Failed(sentence(error)))


def timed_training(
    spec: RunSpec, folder: Path, execution: Execution, seconds: float, wait: Callable[[], None]
) -> TimedTraining:
    """Train for some seconds.

    Args:
        spec: the run.
        folder: empty, for what a run writes before its first round ends.
        execution: how the run is computed.
        seconds: time to measure.
        wait: called after the first steps; time is measured from its return.

    Raises:
        AlbenchError: as the run itself would, or if its training takes fewer steps.
    """
    device = execution.device
    cuda = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] + _CONTEXT if cuda else 0
    resolved = resolve_run(replace(spec, settings={**spec.settings, **_ENDLESS}))
    watch = _Stopwatch(device, seconds, wait)
    hook = register_optimizer_step_post_hook(watch)
    try:
        run(resolved, folder, replace(execution, share=False))
    except _TimeUpError:
        pass
    finally:
        hook.remove()
    if not watch.elapsed:
        raise AlbenchError(f"the training of '{spec.label}' ended before its speed was measured")
    memory = torch.cuda.max_memory_reserved(device) + _CONTEXT if cuda else 0
    return TimedTraining(watch.counted / watch.elapsed, memory, free)


class _TimeUpError(Exception):
    """Ends a training from within."""


class _Stopwatch:
    """Called after every optimizer step of this process. Raises _TimeUpError when the time is up.

    Attributes:
        counted: steps within the time.
        elapsed: the time that they took, in seconds.
    """

    def __init__(self, device: torch.device, seconds: float, wait: Callable[[], None]) -> None:
        self._device, self._seconds, self._wait = device, seconds, wait
        self._start = 0.0
        self.counted, self.elapsed = -_WARM_UP, 0.0

    def __call__(self, *_: object) -> None:
        self.counted += 1
        if self.counted == 0:
            self._synchronize()
            self._wait()
            self._start = time.perf_counter()
        elif self.counted > 0 and time.perf_counter() - self._start >= self._seconds:
            self._synchronize()  # steps that are only queued count with the time that they take
            self.elapsed = time.perf_counter() - self._start
            raise _TimeUpError

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
