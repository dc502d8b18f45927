"""A pool of processes that run one job per case of a dataset."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from albench.data.dataset import Dataset
from albench.errors import DataError
from albench.machine import total_memory, usable_cores
from albench.registry import DATASETS, find, import_path

Job = TypeVar("Job", bound=tuple[object, ...])

_SMALL = 32 << 20  # bytes of files that one process reads before workers have started
_MEMORY = 4 << 30  # bytes of a worker: three volumes of 512 x 512 x 1300 in float32


def default_workers(dataset: Dataset) -> int:
    """1 for generated data or small files; otherwise one per core, but at most one per 4 GiB of memory."""
    if sum(path.stat().st_size for path in dataset.inputs()) < _SMALL:
        return 1
    return max(1, min(usable_cores(), total_memory() // _MEMORY))


class WorkerPool:
    """Processes that read one dataset, one job at a time each; a context manager that waits for them at its end.

    Args:
        dataset: sent to every process once.
        workers: number of processes; with 1, jobs run in this process.
    """

    def __init__(self, dataset: Dataset, workers: int) -> None:
        self._dataset = dataset
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def each(self, work: Callable[..., None], jobs: Sequence[Job]) -> Iterator[Job]:
        """Call `work(dataset, *job)` for every job and yield each job when it is finished.

        Args:
            work: a function of a module, so that another process can import it.

        Raises:
            DataError: the system terminated a worker. Exceptions of `work` are passed on.
        """
        if self._workers == 1 or (self._pool is None and len(jobs) < 2):
            for job in jobs:
                work(self._dataset, *job)
                yield job
            return
        if self._pool is None:
            # Spawned, because a fork of a process that has used torch's threads may hang.
            context = multiprocessing.get_context("spawn")
            arguments = (import_path(type(self._dataset)), pickle.dumps(self._dataset))
            self._pool = ProcessPoolExecutor(min(self._workers, len(jobs)), context, _begin, arguments)
        tasks = {self._pool.submit(_do, work, job): job for job in jobs}
        try:
            for task in as_completed(tasks):
                task.result()
                yield tasks[task]
        except BrokenProcessPool as error:
            raise DataError(
                "a worker must have memory for a few volumes, the system terminated one: use fewer with --workers"
            ) from error

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


_read_here: list[Dataset] = []  # the dataset of this worker process


def _begin(place: str, pickled: bytes) -> None:
    """Initialize a worker: it uses one thread, ignores Ctrl-C (the parent decides) and ends with its parent."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for a later import of torch, which takes seconds and few datasets need
    if "torch" in sys.modules:  # imported by the user's script
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    find(DATASETS, place)  # imports the file of a plugin; unpickling cannot do that
    _read_here[:] = [pickle.loads(pickled)]


def _do(work: Callable[..., None], job: tuple[object, ...]) -> None:
    work(_read_here[0], *job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
