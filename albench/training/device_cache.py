"""The prepared images on the device, if they fit, so that batches are not read from the memory map again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.data import SliceStack
from albench.masks import Ids
from albench.training.device import to_device

_SHARE = 0.5  # of the free device memory; the rest is for weights and activations
_BLOCK = 1024  # slices copied at once


class DeviceCache:
    """Reads batches of images; copies the whole prepared set to the device at the first read, if it fits.

    All rounds of a run share one cache. On a CPU nothing is copied, because the operating system caches the memory map.

    Args:
        images: (N, c, H, W) float16, the prepared set, as in `SliceStack.images`.
        device: where to compute.
        capacity: bytes that the copy may take; None is half of the free memory on a GPU and 0 on a CPU.
    """

    def __init__(self, images: NDArray[np.float16], device: torch.device, capacity: int | None = None) -> None:
        self.images = images
        self.device = device
        self._capacity = _default_capacity(device) if capacity is None else capacity
        self._copy: Tensor | None = None

    def batch(self, slices: SliceStack, ids: Ids, rows: Tensor) -> Tensor:
        """(b, c, H, W) float16 images with their context on the device.

        Slices of another prepared set are read without the cache.

        Args:
            slices: the stack.
            ids: (b,) of its slices.
            rows: (b, c) `SliceStack.rows_with_context` of them, on the device.
        """
        if slices.images is not self.images or self.images.nbytes > self._capacity:
            return to_device(slices.images[slices.rows_with_context(ids)], self.device).flatten(1, 2)
        if self._copy is None:
            self._copy = self._copy_to_device()
        return self._copy[rows].flatten(1, 2)

    def _copy_to_device(self) -> Tensor:
        copy = torch.empty(self.images.shape, dtype=torch.float16, device=self.device)
        for start in range(0, len(self.images), _BLOCK):
            part = np.array(self.images[start : start + _BLOCK])  # torch accepts no read-only array
            copy[start : start + _BLOCK] = torch.from_numpy(part).to(self.device)
        return copy


def _default_capacity(device: torch.device) -> int:
    """Bytes."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()  # memory cached by an earlier run in this process would not count as free
    return int(torch.cuda.mem_get_info(device)[0] * _SHARE)
