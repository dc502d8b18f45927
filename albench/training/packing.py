"""Predicted label maps, packed on their device batch by batch and read by the CPU once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from albench.data import SliceStack
from albench.masks import Ids, PackedMasks, planes_for
from albench.training.batches import concat_batches


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


def _pack(labels: Tensor, planes: int) -> Tensor:
    """(b, planes, h, ceil(w / 8)) uint8 planes of (b, h, w) uint8 label maps, those of `PackedMasks`."""
    missing = -labels.shape[-1] % 8
    padded = pad(labels, (0, missing)) if missing else labels
    digits = padded[:, None]
    if planes > 1:
        digits = digits >> torch.arange(planes, dtype=torch.uint8, device=labels.device)[:, None, None] & 1
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=labels.device)
    return (digits.unflatten(-1, (-1, 8)) << shifts).sum(-1, dtype=torch.uint8)
