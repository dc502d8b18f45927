"""What a GPU would wait for, counted: kernels, reads by the CPU, and bytes copied between both. Exact on any machine.

An operation that reaches the dispatcher counts as one kernel, unless it only makes a view or allocates memory. On a
real GPU an operation may be several kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Counts:
    """What one thread asked of a device.

    Attributes:
        kernels: launched.
        reads: times that the CPU waited for the device, to read a value or because a copy blocks.
        copied: bytes between CPU and device, in both directions.
    """

    kernels: int = 0
    reads: int = 0
    copied: int = 0


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what happens in a block, backward passes included."""
    counts = Counts()
    _active.append(counts)
    try:
        with _Counter(counts):
            yield counts
    finally:
        _active.remove(counts)


def launched() -> None:
    """Count one launch, that of a graph."""
    for counts in _active:
        counts.kernels += 1


_active: list[Counts] = []


class _Counter(TorchDispatchMode):
    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> None:
        name = func._schema.name
        self._counts.reads += waits(name, args, kwargs)
        if name in _COPYING and is_on_device(args[_COPYING[name]]) != is_on_device(result):
            source = args[_COPYING[name]]
            self._counts.copied += source.numel() * source.element_size()
        elif any(map(is_on_device, tree_leaves((args, kwargs, result)))) and not is_free(func, name):
            self._counts.kernels += 1


_COPYING = {"aten::_to_copy": 0, "aten::copy_": 1}  # position of the source among the arguments
INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")
_READING = (
    *("aten::_local_scalar_dense", "aten::nonzero", "aten::bincount", "aten::masked_select"),
    *("aten::equal", "aten::_unique2", "aten::unique_dim", "aten::repeat_interleave"),
)
_FREE = ("aten::_unsafe_view", "aten::_reshape_alias", "aten::lift_fresh", "aten::_pin_memory")
_ALLOCATING = ("aten::empty", "aten::new_empty")


def is_on_device(value: object) -> bool:
    """Whether it is a tensor on a CUDA device, be it simulated."""
    return isinstance(value, Tensor) and value.device.type == "cuda"


def is_on_cpu(value: object) -> bool:
    """Whether it is a tensor on the CPU."""
    return isinstance(value, Tensor) and value.device.type == "cpu"


def waits(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation makes the CPU wait for all queued work of the device."""
    if name == "aten::copy_":
        target, source, *more = args
        return is_on_device(target) != is_on_device(source) and not (more or [kwargs.get("non_blocking")])[0]
    if name == "aten::_to_copy":
        there = torch.device(kwargs.get("device") or args[0].device).type == "cuda"
        return there != is_on_device(args[0]) and not kwargs.get("non_blocking")
    if not any(map(is_on_device, tree_leaves((args, kwargs)))):
        return False
    if name in INDEXING:  # an index on the CPU is copied, and a mask is counted
        return any(is_on_cpu(index) or index.dtype == torch.bool for index in args[1] if index is not None)
    return name in _READING


def is_free(func: Any, name: str) -> bool:
    """Whether an operation launches nothing: it makes a view, or allocates memory."""
    return bool(func.is_view) or name in _FREE or name.startswith(_ALLOCATING)
