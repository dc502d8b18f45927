"""Batches of slices on a device, and functions that cut, concatenate and average them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.masks import Ids


@dataclass(frozen=True)
class Batch:
    """Slices with masks, to train on.

    Attributes:
        images: (b, c, h, w) float32.
        masks: (b, 1, h, w) float32 label maps: 0 background, 1 to K the classes; 0 where the label is unknown.
        valid: (b, 1, h, w) float32, 1 on image pixels and 0 on padding.
        known: (b, 1, h, w) float32, 1 on image pixels whose label is known and 0 elsewhere.
        criterion: the supervised loss of the benchmark, a function of logits, masks and known pixels.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    known: Tensor
    criterion: Callable[[Tensor, Tensor, Tensor], Tensor]

    def supervised(self, logits: Tensor) -> Tensor:
        """The supervised loss of the benchmark for (b, k, h, w) logits of these slices."""
        return self.criterion(logits, self.masks, self.known)


class Images(NamedTuple):
    """Slices without masks.

    Attributes:
        images: (b, c, h, w) float32.
        valid: (b, 1, h, w) float32, 1 on image pixels and 0 on padding.
    """

    images: Tensor
    valid: Tensor


def batched(ids: Ids, size: int) -> Iterator[Ids]:
    """Consecutive parts of (n,) ids, of at most `size` elements each."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def concat_batches(parts: Iterator[tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
    """Concatenate a stream of tuples of (b, ...) tensors to one tuple of (count, ...) tensors, as `torch.cat` does.

    Each part is copied into its place and released. Parts that are collected first would lie between large temporary
    tensors and fragment the heap.
    """
    first = next(parts)
    whole = tuple(map(partial(_empty_like, count), first))
    start = 0
    for part in chain([first], parts):
        for target, tensor in zip(whole, part, strict=True):
            target[start : start + len(tensor)] = tensor
        start += len(part[0])
    return whole


class Gathered:
    """Small results of batches, which the CPU reads together at the end, because each read makes it wait for a GPU.

    On a CPU they are copied at once. Small tensors that are kept between large temporary ones fragment the heap.
    """

    def __init__(self) -> None:
        self._parts: list[Tensor | list[float]] = []

    def add(self, part: Tensor) -> None:
        """Add (b,) values of a batch."""
        self._parts.append(part if part.is_cuda else part.tolist())

    def read(self) -> NDArray[np.float64]:
        """(n,) values of all batches, in order."""
        there = [part for part in self._parts if isinstance(part, Tensor)]
        if there:
            return torch.cat(there).double().cpu().numpy()
        return np.fromiter(chain.from_iterable(self._parts), np.float64)


def mean_over_pixels(parts: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The mean loss over all pixels, from the mean loss and the number of pixels of each batch.

    The values are read together at the end, because each read makes the CPU wait for the device.
    """
    losses, pixels = (torch.stack(values).tolist() for values in zip(*parts, strict=True))
    return sum(loss * count for loss, count in zip(losses, pixels, strict=True)) / sum(pixels)


def _empty_like(count: int, part: Tensor) -> Tensor:
    """An uninitialized (count, ...) tensor with the dtype, device and memory format of a (b, ...) tensor."""
    channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(count, *part.shape[1:], dtype=part.dtype, device=part.device, memory_format=memory_format)
