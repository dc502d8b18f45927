"""What the machine offers a process: its cores, and memory that goes back to the operating system."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # variables that say how OpenMP threads wait
_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


def usable_cores(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Cores that this process may use: the fewest of its affinity, the quotas of its control groups, and its SLURM job.

    Args:
        root: of the file system with `/proc` and `/sys`.
        environment: of the process.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = [int(environment[name]) for name in _SLURM if environment.get(name, "").isdecimal()]
    return max(1, min([affinity, *granted, *map(int, _quotas(root))]))


def total_memory() -> int:
    """The memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def wait_passively() -> None:
    """Let OpenMP threads sleep soon while they wait, unless the user has decided that; before torch is imported.

    By default they spin for long, which takes the cores from the threads that they wait for if other processes use them
    too. If they sleep at once, every short wait costs the time to wake up. `docs/studies/waiting_threads.py` measures
    both. GNU's OpenMP follows the number of spins, and others sleep at once.
    """
    if not WAITING & os.environ.keys():
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


def _quotas(root: Path) -> Iterator[float]:
    """Cores that the control groups of this process, of version 2 or 1, and the groups around them may use."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            inner = top / group.lstrip("/")
            for place in (inner, *(outer for outer in inner.parents if outer.is_relative_to(top))):
                with suppress(OSError, ValueError):  # no such file, or no limit
                    yield _quota(place, of_version_1=bool(controllers))


def _quota(place: Path, *, of_version_1: bool) -> float:
    """Raises OSError or ValueError: the group has no quota."""
    if of_version_1:
        quota, period = (int((place / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    else:
        quota, period = map(int, (place / "cpu.max").read_text().split())
    if quota <= 0 or period <= 0:
        raise ValueError("no quota")
    return quota / period


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
