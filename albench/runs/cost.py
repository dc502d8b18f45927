"""What a round costs: seconds of its phases, memory at its peak, and on what it was computed."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

import albench

_PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel")


class Clock:
    """Measures the phases of one round."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block, with what it left running on the device."""
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds[name] = time.perf_counter() - start

    def cost(self) -> dict[str, object]:
        """Seconds by phase, peak memory in bytes (of the process so far, and of the device), hardware and versions."""
        cuda = self._device.type == "cuda"
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "seconds": dict(self._seconds),
            "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
            "peak_device_memory": torch.cuda.max_memory_allocated(self._device) if cuda else None,
            **hardware(self._device),
            "albench": albench.__version__,
            "torch": torch.__version__,
        }


def commit() -> str | None:
    """The commit of albench's checkout; None if it is installed from elsewhere or git is missing."""
    folder = Path(albench.__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware(device: torch.device) -> dict[str, object]:
    """Name of the device, and threads of the CPU."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
    return {"device": name, "threads": torch.get_num_threads()}


def environment(device: torch.device) -> dict[str, object]:
    """Versions, commit, hardware and command line of this process."""
    return {
        "albench": albench.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        **hardware(device),
        "command": sys.argv,
    }
