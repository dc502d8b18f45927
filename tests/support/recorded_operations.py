"""Operations of torch that are recorded and repeated on the same memory, as a CUDA graph does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
import torch._dynamo  # looks at torch.cuda.Stream when it is imported, which is replaced below
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from support.gpu_counts import is_free


class Operations:
    """A list of them, in order."""

    def __init__(self) -> None:
        self._recorded: list[tuple[Callable[..., object], Any, Any, object]] = []

    def record(self, func: Any, args: Any, kwargs: Any, result: object) -> None:
        """Add an operation with its result, unless it only makes a view or allocates memory."""
        if not is_free(func, func._schema.name):
            self._recorded.append((func, args, kwargs, result))

    def pool(self) -> None:
        """There is no memory to share."""

    def replay(self) -> None:
        """Repeat all, and write the results to where they were."""
        for func, args, kwargs, before in self._recorded:
            after = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
                if isinstance(old, Tensor) and old is not new:
                    old.copy_(new)


class _Recorder(TorchDispatchMode):
    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        self._operations.record(func, args, kwargs or {}, result)
        return result


class Stream:
    """The only queue of a device, on which nothing waits."""

    def wait_stream(self, stream: object) -> None:
        """Do nothing."""


IN_ORDER: Mapping[str, Any] = {
    "Stream": lambda device: Stream(),
    "current_stream": lambda device=None: Stream(),
    "stream": lambda stream: nullcontext(),
    "get_rng_state": lambda device=None: torch.get_rng_state(),
    "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
}
"""Parts of `torch.cuda` for a device that works as the CPU does, with its random numbers."""


@contextmanager
def graphs_on_cpu() -> Iterator[None]:
    """CUDA graphs of operations on CPU tensors."""
    graphs: dict[str, Any] = {
        "CUDAGraph": Operations,
        "graph": lambda operations, *pool, capture_error_mode: _Recorder(operations),
    }
    with patch.multiple(torch.cuda, **IN_ORDER, **graphs):
        yield
