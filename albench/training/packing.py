"""Label maps between the CPU and a device, a few bits per pixel: predictions are read once, labels sent by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from albench.data import SliceStack
from albench.masks import UNKNOWN, Ids, PackedMasks, planes_for
from albench.training.batches import concat_batches
from albench.training.device import to_device


def pack_predictions(slices: SliceStack, ids: Ids, parts: Iterable[tuple[Ids, Tensor]]) -> PackedMasks:
    """Pack the predictions of some slices.

    Args:
        slices: to which the ids belong.
        ids: (n,), at least one.
        parts: a stream of ids (b,) and (b, H, W) uint8 label maps, which covers all of `ids` in any order.
    """
    planes, order = planes_for(len(slices.classes)), []

    def packed() -> Iterator[tuple[Tensor]]:
        for some, labels in parts:
            order.append(some)
            yield (_pack(labels, planes),)

    whole = concat_batches(packed(), len(ids))[0].cpu().numpy()
    found = np.concatenate(order)
    if (np.diff(found) < 0).any():
        rows = np.argsort(found)
        found, whole = found[rows], whole[rows]
    return PackedMasks(found, whole, slices.shape[-1])


def unpacked(masks: PackedMasks, ids: Ids, device: torch.device) -> Tensor:
    """(b, h, w) uint8 label maps of (b,) ids on a device, which are sent packed."""
    packed = to_device(masks.rows(ids), device)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    digits = (packed[..., None] >> shifts & 1).flatten(-2)[..., : masks.width]
    labels, planes = digits[:, 0], digits.shape[1]
    for plane in range(1, planes):
        labels = labels | digits[:, plane] << plane
    return labels if planes == 1 else labels.masked_fill(labels == 2**planes - 1, UNKNOWN)


def _pack(labels: Tensor, planes: int) -> Tensor:
    """(b, planes, h, ceil(w / 8)) uint8 planes of (b, h, w) uint8 label maps, those of `PackedMasks`."""
    missing = -labels.shape[-1] % 8
    padded = pad(labels, (0, missing)) if missing else labels
    digits = padded[:, None]
    if planes > 1:
        digits = digits >> torch.arange(planes, dtype=torch.uint8, device=labels.device)[:, None, None] & 1
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=labels.device)
    return (digits.unflatten(-1, (-1, 8)) << shifts).sum(-1, dtype=torch.uint8)
