"""One job for every case of a dataset, in this process or shared among several."""

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
from albench.registry import DATASETS, find, import_path

Job = TypeVar("Job", bound=tuple[object, ...])

_LITTLE = 32 << 20  # bytes of files that are read before workers are ready
_MEMORY = 4 << 30  # bytes for a worker: three volumes of 512 x 512 x 1300 in float32


def default_workers(dataset: Dataset) -> int:
    """One for generated data or small files; otherwise one per core, as far as there are 4 GiB of memory for each."""
    if sum(path.stat().st_size for path in dataset.inputs()) < _LITTLE:
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(usable_cores(), memory // _MEMORY))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerPool:
    """Processes that read one dataset, each one job at a time; a context manager that waits for them at its end."""

    def __init__(self, dataset: Dataset, workers: int) -> None:
        self._dataset = dataset
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def each(self, work: Callable[..., None], jobs: Sequence[Job]) -> Iterator[Job]:
        """Call `work(dataset, *job)` for every job; yields a job when it is done.

        Args:
            work: a function of a module, so that another process finds it.

        Raises:
            DataError: the system ended a worker. What `work` raises comes through.
        """
        if self._workers == 1 or (self._pool is None and len(jobs) < 2):
            for job in jobs:
                work(self._dataset, *job)
                yield job
            return
        if self._pool is None:
            # Fresh processes: a fork of one that has used torch's threads may hang.
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
                "a worker must have the memory of a few volumes, the system ended one: use fewer with --workers"
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
    """Get ready: one thread, deaf to Ctrl-C (the parent tells when to stop), and gone when the parent is."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is imported, which few datasets need and takes seconds
    if "torch" in sys.modules:  # by the user's script
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    find(DATASETS, place)  # imports a plugin's file, which unpickling cannot
    _read_here[:] = [pickle.loads(pickled)]


def _do(work: Callable[..., None], job: tuple[object, ...]) -> None:
    work(_read_here[0], *job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
