"""Tensors on a device that is not there, and torch made to believe in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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


def _call(func: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
    """Do on the CPU what would be done on the device.

    Raises:
        RuntimeError: tensors of both, or a generator of the CPU for the device.
    """
    name = func._schema.name  # type: ignore[attr-defined]
    values = tree_leaves((args, kwargs))
    if kwargs.get("device") is not None:
        remote = torch.device(kwargs["device"]).type == "cuda"  # type: ignore[arg-type]
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif name == "aten::copy_":
        remote = isinstance(args[0], Remote)
    else:
        remote = any(isinstance(value, Remote) for value in values)
        bound = tree_leaves((args[0], *args[2:])) if name in _INDEXING else values  # an index may be on the CPU
        if remote and any(
            isinstance(value, Tensor) and value.ndim and not isinstance(value, Remote) for value in bound
        ):
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got some of the CPU")
    if remote and any(isinstance(value, torch.Generator) for value in values):
        raise RuntimeError(f"Expected a 'cuda' device type for generator in {name} but found 'cpu'")
    result = func(*tree_map(_local, args), **tree_map(_local, dict(kwargs)))
    return return_and_correct_aliasing(func, args, kwargs, tree_map(_remote, result)) if remote else result


_INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")


def _local(value: object) -> object:
    return value.local if isinstance(value, Remote) else value


def _remote(value: object) -> object:
    return Remote(value) if isinstance(value, Tensor) and not isinstance(value, Remote) else value


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
    **dict.fromkeys(("_lazy_init", "set_rng_state", "manual_seed_all", "synchronize", "reset_peak_memory_stats")),
}


@contextmanager
def pretending() -> Iterator[torch.device]:
    """Let torch believe that there is a CUDA device."""
    with ExitStack() as stack:
        for name, answer in _ANSWERS.items():
            stack.enter_context(patch(f"torch.cuda.{name}", lambda *args, answer=answer, **options: answer))
        stack.enter_context(patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        before = torch._C._only_lift_cpu_tensors()
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor makes its tensor on the CPU first
        stack.enter_context(_Everything())
        yield DEVICE
