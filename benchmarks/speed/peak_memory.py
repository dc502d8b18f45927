"""The peak memory of a block of code. Linux only."""

from __future__ import annotations

import gc
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from albench.machine import peak_memory, trim_memory

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Growth:
    """Peak growth of the process in bytes; set at the end of the block."""

    bytes: int = 0


@contextmanager
def watching() -> Iterator[Growth]:
    """Measure the peak memory of a block over that of the process before it, including memory-mapped pages."""
    gc.collect()
    trim_memory()
    _RESET.write_text("5")  # resets the peak
    before, growth = _resident(), Growth()
    yield growth
    growth.bytes = max(0, peak_memory() - before)


def unmapped(array: np.memmap) -> None:
    """Drop the pages of a memory-mapped file from this process, so that reading them is counted again."""
    array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # NumPy has no public name for it


def _resident() -> int:
    """Bytes of this process that are in memory now."""
    lines = _STATUS.read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
