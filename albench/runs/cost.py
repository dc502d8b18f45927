"""What a round costs to compute: seconds of its phases, memory at its peak, and on what it was computed."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

import albench
from albench.machine import peak_memory
from albench.runs.command_line import command_line
from albench.runs.records import ComputeCost, EnvironmentRecord, PhaseSeconds

Phase = Literal["fit", "evaluate", "query"]

_PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel")


class Clock:
    """Measures the phases of one round."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[Phase, float] = {}
        self._cpu_seconds: dict[Phase, float] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Time a block, including what it left running on the device; several blocks of a phase add up."""
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds[name] = self._seconds.get(name, 0) + time.perf_counter() - start
        self._cpu_seconds[name] = self._cpu_seconds.get(name, 0) + time.process_time() - cpu_start

    def cost(self, steps: int, fit_epochs: Sequence[float], query_epochs: Sequence[float]) -> ComputeCost:
        """The cost of the round after all three phases.

        Args:
            steps: optimizer steps that were made.
            fit_epochs: seconds of every epoch in `fit`.
            query_epochs: seconds of every epoch in `query`.
        """
        cuda = self._device.type == "cuda"
        return ComputeCost(
            seconds=PhaseSeconds(**self._seconds),
            fit_epoch_seconds=tuple(fit_epochs),
            query_epoch_seconds=tuple(query_epochs),
            steps=steps,
            peak_memory=peak_memory(),
            peak_device_memory=torch.cuda.max_memory_allocated(self._device) if cuda else None,
            device=device_name(self._device),
            threads=torch.get_num_threads(),
            albench=albench.__version__,
            torch=torch.__version__,
            cpu_seconds=PhaseSeconds(**self._cpu_seconds),
        )


def device_name(device: torch.device) -> str:
    """The GPU's name, or `cpu` with its architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


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


def environment(device: torch.device, strategy_kind: str, *, uses_labels: bool) -> EnvironmentRecord:
    """Versions, commit, hardware and command line of this process."""
    return EnvironmentRecord(
        albench=albench.__version__,
        commit=commit(),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=device_name(device),
        threads=torch.get_num_threads(),
        command=command_line(),
        strategy_kind=strategy_kind,
        uses_labels=uses_labels,
    )
