"""Tensors on a device that is not there, and torch made to believe in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)


class Remote(Tensor):
    """A tensor that says it is on the device."""

    local: Tensor

    @staticmethod
    def __new__(cls: type, local: Tensor) -> Remote:
        remote = Tensor._make_wrapper_subclass(
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

    def __repr__(self) -> str:
        return f"Remote({self.local})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["local"], None

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], context: None, size: object, stride: object) -> Remote:
        return Remote(inner["local"])

    def tolist(self) -> object:
        """As of any CUDA tensor; torch forbids it to subclasses."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _call(func, args, kwargs or {})


class _Everything(TorchDispatchMode):
    """Sees every operation, those that make a tensor on the device included."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _call(func, args, kwargs or {})


def _call(func: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    """Do on the CPU what would be done on the device.

    Raises:
        RuntimeError: tensors of both, a generator of the CPU for the device, or the CPU would wait and must not.
    """
    name = func._schema.name  # type: ignore[attr-defined]
    values = tree_leaves((args, kwargs))
    if kwargs.get("device") is not None:
        remote = torch.device(kwargs["device"]).type == "cuda"
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif name == "aten::copy_":
        remote = isinstance(args[0], Remote)
    else:
        remote = any(isinstance(value, Remote) for value in values)
        meeting = tree_leaves((args[0], *args[2:])) if name in _INDEXING else values  # an index may be anywhere
        if remote and any(_is_of_cpu(value) and value.ndim for value in meeting):
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got some of the CPU")
    if remote and any(isinstance(value, torch.Generator) for value in values):
        raise RuntimeError(f"Expected a 'cuda' device type for generator in {name} but found 'cpu'")
    if _sync.forbidden and _waits(name, args, kwargs, remote=remote):
        raise RuntimeError(f"called a synchronizing CUDA operation, {name}")
    if name == "aten::_pin_memory":
        return args[0]
    result = func(*tree_map(_local, args), **tree_map(_local, dict(kwargs)))
    return return_and_correct_aliasing(func, args, kwargs, tree_map(_remote, result)) if remote else result


_INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")
_COPYING = {"aten::_to_copy": 0, "aten::copy_": 1}  # where the source is among the arguments
_READING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::bincount", "aten::masked_select")


def _waits(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, remote: bool) -> bool:
    """Whether the CPU waits here until the device has done all that was asked of it."""
    if name in _COPYING:
        return _is_of_cpu(args[_COPYING[name]]) == remote and not kwargs.get("non_blocking")
    if not remote:
        return False
    if name in _INDEXING:  # an index of the CPU is copied, a mask is counted
        return any(_is_of_cpu(index) or index.dtype == torch.bool for index in args[1] if index is not None)
    return name in _READING


class _Sync:
    """What `torch.cuda.set_sync_debug_mode` has set."""

    forbidden = False

    def set(self, mode: str) -> None:
        """Forbid the CPU to wait with `error`, allow it with `default`."""
        self.forbidden = mode == "error"


_sync = _Sync()


def _is_of_cpu(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, Remote)


def _local(value: object) -> object:
    return value.local if isinstance(value, Remote) else value


def _remote(value: object) -> object:
    return Remote(value) if isinstance(value, Tensor) and not isinstance(value, Remote) else value


_SILENT = ("_lazy_init", "set_rng_state", "manual_seed_all", "synchronize", "reset_peak_memory_stats", "empty_cache")
_ANSWERS: Mapping[str, object] = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "mem_get_info": (70 << 30, 80 << 30),
    "max_memory_allocated": 1 << 30,
    "get_device_name": "pretended",
    "get_rng_state": torch.zeros(16, dtype=torch.uint8),  # it draws from the CPU's generator
    "is_bf16_supported": True,
    "is_current_stream_capturing": False,
    "_is_in_bad_fork": False,
    **dict.fromkeys(_SILENT),
}


@contextmanager
def pretending() -> Iterator[torch.device]:
    """Let torch believe that there is a CUDA device."""
    with ExitStack() as stack:
        for name, answer in _ANSWERS.items():
            stack.enter_context(patch(f"torch.cuda.{name}", lambda *args, answer=answer, **options: answer))
        stack.enter_context(patch("torch.cuda.set_sync_debug_mode", _sync.set))
        stack.enter_context(patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        before = torch._C._only_lift_cpu_tensors()
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor makes its tensor on the CPU first
        stack.enter_context(_Everything())
        yield DEVICE
