"""Labeled slices to train on, whose masks stay on the device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.data import SliceStack
from albench.masks import Ids, Mask
from albench.training.device import to_device


class Examples:
    """Slices of a stack with their masks.

    Args:
        slices: the stack.
        masks: {slice id: (h, w) label map}.
        device: where the masks are kept.

    Attributes:
        slices: the stack.
        ids: (n,) of the slices, ascending; examples are known by their rows in it.
        masks: (n, h, w) uint8 on the device.
    """

    def __init__(self, slices: SliceStack, masks: Mapping[int, Mask], device: torch.device) -> None:
        self.slices = slices
        self.ids: Ids = np.array(sorted(masks), dtype=np.int64)
        stacked = np.stack([masks[int(i)] for i in self.ids]) if masks else np.empty((0, *slices.shape[1:]), np.uint8)
        self.masks: Tensor = to_device(stacked, device)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of slices in `ids`, in an array of the same shape."""
        return np.searchsorted(self.ids, ids)
