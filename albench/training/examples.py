"""Labeled slices to train on, whose masks stay on the device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albench.data import LabeledStack, SliceStack
from albench.masks import Ids, Mask
from albench.training.batches import batched
from albench.training.device import to_device
from albench.training.packing import unpacked

_BLOCK = 1024  # slices whose masks are unpacked at once


class Examples:
    """Slices of a stack with their masks.

    Args:
        slices: the stack.
        ids: (n,) of the slices, ascending.
        masks: (n, h, w) uint8 label maps on the device where they are kept.

    Attributes:
        slices: the stack.
        ids: (n,) of the slices; examples are known by their rows in it.
        masks: (n, h, w) on the device.
    """

    def __init__(self, slices: SliceStack, ids: Ids, masks: Tensor) -> None:
        self.slices, self.ids, self.masks = slices, ids, masks

    @classmethod
    def of_masks(cls, slices: SliceStack, masks: Mapping[int, Mask], device: torch.device) -> Examples:
        """Those of {slice id: (h, w) label map}, which are sent to the device."""
        ids: Ids = np.array(sorted(masks), dtype=np.int64)
        stacked = np.stack([masks[int(i)] for i in ids]) if masks else np.empty((0, *slices.shape[1:]), np.uint8)
        return cls(slices, ids, to_device(stacked, device))

    @classmethod
    def of_labeled(cls, labeled: LabeledStack, ids: Ids, device: torch.device) -> Examples:
        """Those of (n,) slices of a labeled set, whose masks are sent packed."""
        masks = torch.empty((len(ids), *labeled.slices.shape[1:]), dtype=torch.uint8, device=device)
        for part, some in zip(masks.split(_BLOCK), batched(ids, _BLOCK), strict=False):
            part.copy_(unpacked(labeled.truth, some, device))
        return cls(labeled.slices, ids, masks)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of slices in `ids`, in an array of the same shape."""
        return np.searchsorted(self.ids, ids)
