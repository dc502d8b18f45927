"""Tensors on a simulated CUDA device, and patches of torch that make it available."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from support.gpu_counts import INDEXING, is_on_cpu, launched, waits
from support.recorded_operations import IN_ORDER, Operations

DEVICE = torch.device("cuda", 0)


class Remote(Tensor):
    """A tensor that reports the simulated device and stores its values in a CPU tensor."""

    local: Tensor

    @staticmethod
    def __new__(cls: type, local: Tensor) -> Remote:
        remote: Remote = Tensor._make_wrapper_subclass(
            cls,
            local.size(),
            strides=local.stride(),
            storage_offset=local.storage_offset(),
            dtype=local.dtype,
            device=DEVICE,
            requires_grad=local.requires_grad,
        )
        remote.local = local
        return remote

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Remote({self.local})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["local"], None

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], context: None, size: object, stride: object) -> Remote:
        return Remote(inner["local"])

    @property  # type: ignore[override]
    def data(self) -> Remote:
        """The same values without history."""
        return Remote(self.local)

    @data.setter
    def data(self, other: Remote) -> None:
        Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.local = other.local

    def data_ptr(self) -> int:
        """Where the values are."""
        return self.local.data_ptr()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Stored with its values, as a CPU tensor: albench reads all that it has stored to the CPU."""
        return self.local.__reduce_ex__(protocol)

    def tolist(self) -> list[Any]:
        """As for any CUDA tensor; torch does not allow it for subclasses."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def, override]
        return _call(func, args, kwargs or {})


class _AllOperations(TorchDispatchMode):
    """Intercepts every operation, including those that create a tensor on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _call(func, args, kwargs or {})


def _call(func: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    """Compute on the CPU what would be computed on the device.

    Raises:
        RuntimeError: the operation mixes tensors of both devices, uses a CPU generator on the device, or makes the CPU
            wait while this is forbidden.
    """
    name = func._schema.name  # type: ignore[attr-defined]
    values, asked = tree_leaves((args, kwargs)), kwargs
    kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    if kwargs.get("device") is not None:
        remote = torch.device(kwargs["device"]).type == "cuda"
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif name == "aten::copy_":
        remote = isinstance(args[0], Remote)
    else:
        remote = any(isinstance(value, Remote) for value in values)
        operands = tree_leaves((args[0], *args[2:])) if name in INDEXING else values  # indices may be on the CPU
        if remote and any(is_on_cpu(value) and value.ndim for value in operands):
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got CPU tensors")
    if remote and any(isinstance(value, torch.Generator) for value in values):
        raise RuntimeError(f"Expected a 'cuda' device type for generator in {name} but found 'cpu'")
    if _sync.forbidden and waits(name, args, asked):
        raise RuntimeError(f"called a synchronizing CUDA operation, {name}")
    if name == "aten::_pin_memory":
        return args[0]
    here, named = tree_map(_local, args), tree_map(_local, dict(kwargs))
    result = func(*here, **named)
    if remote and Graph.recording is not None:
        Graph.recording.record(func, here, named, result)
    return return_and_correct_aliasing(func, args, kwargs, tree_map(_remote, result)) if remote else result


class Graph(Operations):
    """A CUDA graph, which is launched as one kernel. As on a GPU, it must not ask for values."""

    recording: Graph | None = None

    def replay(self) -> None:
        """Count one launch, and repeat what was recorded."""
        launched()
        super().replay()

    @contextmanager
    def captured(self, *pool: object, capture_error_mode: str = "global") -> Iterator[None]:
        """Record the operations of a block."""
        Graph.recording, forbidden = self, _sync.forbidden
        _sync.forbidden = True
        try:
            yield
        finally:
            Graph.recording, _sync.forbidden = None, forbidden


class _Sync:
    """The state of `torch.cuda.set_sync_debug_mode`."""

    forbidden = False

    def set(self, mode: str) -> None:
        """Make operations that wait for the device fail with `error`, and allow them with `default`."""
        self.forbidden = mode == "error"


_sync = _Sync()


def _local(value: object) -> object:
    return value.local if isinstance(value, Remote) else value


def _remote(value: object) -> object:
    return Remote(value) if isinstance(value, Tensor) and not isinstance(value, Remote) else value


class _Event:
    """An event of a device that has always done what was asked."""

    record = synchronize = staticmethod(lambda *arguments: None)


_NO_RESULT = ("_lazy_init", "manual_seed_all", "synchronize", "reset_peak_memory_stats", "empty_cache")
_RESULTS: Mapping[str, object] = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "mem_get_info": (70 << 30, 80 << 30),
    "max_memory_allocated": 1 << 30,
    "max_memory_reserved": 2 << 30,
    "get_device_name": "simulated",
    "is_bf16_supported": True,
    "is_current_stream_capturing": False,
    "_is_in_bad_fork": False,
    **dict.fromkeys(_NO_RESULT),
}


_STAND_INS: Mapping[str, Any] = {
    "Event": _Event,
    "CUDAGraph": Graph,
    "graph": Graph.captured,
    "set_sync_debug_mode": _sync.set,
    **IN_ORDER,
}


@contextmanager
def simulated() -> Iterator[torch.device]:
    """Make torch behave as if there were a CUDA device."""
    with ExitStack() as stack:
        for name, result in _RESULTS.items():
            stack.enter_context(patch(f"torch.cuda.{name}", lambda *args, result=result, **options: result))
        stack.enter_context(patch.multiple(torch.cuda, **_STAND_INS))
        stack.enter_context(patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        before = torch._C._only_lift_cpu_tensors()
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor creates its tensor on the CPU first
        stack.enter_context(_AllOperations())
        yield DEVICE
