"""Where a batch of images comes from: the device, if the whole prepared set fits there, or else the memory map."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.training.device import to_device

_SHARE = 0.5  # of the free memory of a device; the rest is for weights and activations
_BLOCK = 1024  # slices that are copied at once


class DeviceCache:
    """The images of a prepared set, copied to the device at the first use and shared by all rounds of a run.

    On a CPU nothing is copied: the operating system keeps the memory map in memory.

    Args:
        images: (N, c, H, W) float16, as in `SliceStack`.
        device: where to compute.
        capacity: bytes that the images may take there; None is half of what is free, and nothing on a CPU.
    """

    def __init__(self, images: NDArray[np.float16], device: torch.device, capacity: int | None = None) -> None:
        self.images = images
        self.device = device
        self._capacity = _free(device) if capacity is None else capacity
        self._whole: Tensor | None = None

    def batch(self, images: NDArray[np.float16], rows: NDArray[np.int64]) -> Tensor:
        """(b, c, H, W) float16 on the device: some rows of `images`, which need not be those of this set."""
        if images is not self.images or images.nbytes > self._capacity:
            return to_device(images[rows], self.device)
        if self._whole is None:
            self._whole = torch.empty(images.shape, dtype=torch.float16, device=self.device)
            for start in range(0, len(images), _BLOCK):
                part = np.array(images[start : start + _BLOCK])  # torch takes no array that is read-only
                self._whole[start : start + _BLOCK] = torch.from_numpy(part).to(self.device)
        return self._whole[to_device(rows, self.device)]


def _free(device: torch.device) -> int:
    """Bytes that images may take there."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()  # of an earlier run in this process, whose memory does not count as free else
    return int(torch.cuda.mem_get_info(device)[0] * _SHARE)
