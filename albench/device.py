"""Where to compute."""

from __future__ import annotations

import torch

from albench.crew import usable_cores
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


def places(device: torch.device, cpus: int) -> int:
    """How many runs fit on this machine at once, each with its own GPU or with `cpus` cores."""
    if device.type == "cuda":
        return torch.cuda.device_count()
    return max(1, usable_cores() // cpus)
