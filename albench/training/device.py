"""Where to compute, and how values get there."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.data.workers import usable_cores
from albench.errors import ConfigError


def choose_device(name: str, threads: int | None = None) -> torch.device:
    """The device that a user names; `auto` is a GPU if there is one.

    Args:
        threads: of the CPU; None leaves them as they are.

    Raises:
        ConfigError: there is no such device.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device must be auto, cpu, cuda or cuda:N, got '{name}'") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu, cuda or cuda:N, got '{name}'")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"--device must be there, got '{name}' and this machine has {count} CUDA devices: use cpu")
    return device


def to_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Values of the CPU as a tensor on a device.

    A plain copy to a GPU makes the CPU wait until the GPU has done all that was asked of it; from pinned memory it need
    not, and the GPU is not idle while the CPU prepares what comes next.
    """
    tensor = torch.as_tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def max_parallel_runs(device: torch.device, cpus: int) -> int:
    """How many runs fit on this machine at once, each with its own GPU or with `cpus` cores."""
    if device.type == "cuda":
        return torch.cuda.device_count()
    return max(1, usable_cores() // cpus)
