"""What the device must know of the batches of an epoch, sent before the first of them.

Rows of images, their sizes and the draws of augmentation are a few bytes for every slice. Sending them to a GPU with
each batch would take the CPU longer than launching the kernels of a small network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from albench.training.device import to_device


def sent_ahead(parts: Iterable[Sequence[Tensor]], device: torch.device) -> Iterator[Sequence[Tensor]]:
    """The CPU tensors of every batch, on a device.

    To a GPU they are sent together when the first batch is asked for, in one copy for each of the tensors of a batch.
    On a CPU each batch is made when it is asked for, so that random numbers are drawn in the order of their use.

    Args:
        parts: of every batch as many tensors, which differ between batches in the first dimension only.
        device: where they are needed.
    """
    if device.type == "cpu":
        yield from parts
        return
    columns = list(zip(*parts, strict=True))
    sent = [to_device(torch.cat(column), device).split(list(map(len, column))) for column in columns]
    yield from zip(*sent, strict=True)
