"""Choice of the device, and transfer of arrays to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.errors import ConfigError
from albench.machine import usable_cores


def choose_device(name: str, threads: int | None = None) -> torch.device:
    """The device that a user names; `auto` is a GPU if the machine has one.

    Args:
        threads: number of CPU threads; None keeps torch's default.

    Raises:
        ConfigError: the device does not exist.
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
        raise ConfigError(f"--device must exist, got '{name}' on a machine with {count} CUDA devices: use cpu")
    return device


def default_threads() -> int:
    """Threads of a run on a machine that it has for itself: torch's default, and at most the usable cores."""
    return min(torch.get_num_threads(), usable_cores())


def to_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Copy an array or a CPU tensor to a device.

    A copy from pinned memory does not block. A plain copy to a GPU blocks the CPU until the GPU has finished all queued
    work, and the GPU is then idle until the CPU has queued more.
    """
    tensor = torch.as_tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def copy_all(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    """Copy tensors to as many others of their shapes on the same device, on a GPU with a few launches in all."""
    alike: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = defaultdict(list)  # others would be copied one by one
    for source, target in zip(sources, targets, strict=True):
        alike[target.dtype].append((target, source))
    for pairs in alike.values():
        torch._foreach_copy_([target for target, _ in pairs], [source for _, source in pairs])


def start_read(values: Tensor) -> Callable[[], NDArray[Any]]:
    """Start to copy a tensor to the CPU. The returned function waits for it and gives the array, in any thread."""
    if values.device.type == "cpu":
        return values.numpy
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(values.device))

    def wait() -> NDArray[Any]:
        copied.synchronize()
        return copy.numpy()

    return wait


def works(device: torch.device) -> bool:
    """Whether a device still computes in this process. A GPU that stopped does so only in a new one."""
    try:
        return torch.zeros(1, device=device).add_(1).tolist() == [1]
    except torch.cuda.OutOfMemoryError:
        return True
    except RuntimeError:
        return False


def max_parallel_runs(device: torch.device, cpus: int) -> int:
    """How many runs this machine can do in parallel, each on its own GPU or on `cpus` cores."""
    if device.type == "cuda":
        return torch.cuda.device_count()
    return max(1, usable_cores() // cpus)
