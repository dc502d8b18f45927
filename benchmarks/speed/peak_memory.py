"""How much memory a block of code has taken at its peak. Linux only."""

from __future__ import annotations

import gc
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from albench.machine import trim_memory

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Growth:
    """Bytes that the process grew by, at most; known when the block is over."""

    bytes: int = 0


@contextmanager
def watching() -> Iterator[Growth]:
    """Measure a block's growth over what the process held before it, memory-mapped pages included."""
    gc.collect()
    trim_memory()
    _RESET.write_text("5")  # the peak starts anew from here
    before, growth = _kibibytes("VmRSS"), Growth()
    yield growth
    growth.bytes = 1024 * max(0, _kibibytes("VmHWM") - before)


def unmapped(array: np.memmap) -> None:
    """Drop the pages of a memory-mapped file from this process, so that reading them again is counted again."""
    array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # numpy has no public name for it


def _kibibytes(field: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
