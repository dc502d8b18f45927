"""What the machine offers a process: its cores, and memory that goes back to the operating system."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def trim_memory() -> None:
    """Release the memory that glibc's malloc retains, up to 64 MB or almost two BraTS volumes; no effect elsewhere."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
