"""What the machine offers a process: its cores, and memory that goes back to the operating system."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from contextlib import suppress
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # variables that say how OpenMP threads wait


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory() -> int:
    """The memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def wait_passively() -> None:
    """Let OpenMP threads sleep while they wait, unless the user has decided that; before torch is imported.

    By default they spin, which takes the cores from the threads that they wait for if other processes use them too.
    """
    if not WAITING & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def peak_memory() -> int:
    """The largest memory of this process so far, in bytes.

    On Linux it is not `ru_maxrss`, which a process begins with that of the process that started it.
    """
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def trim_memory() -> None:
    """Release the memory that glibc's malloc retains, up to 64 MB or almost two BraTS volumes; no effect elsewhere."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
