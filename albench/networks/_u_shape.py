"""A U-shaped network: blocks that lead down, blocks that lead up with skip connections, and a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from albench.encoder_decoder import EncoderDecoder, Features


class UShape(EncoderDecoder):
    """Each block up gets the map below and the output of the block down of the same level.

    Args:
        down: at least two blocks, of which the last gives the bottleneck.
        up: one block less, the deepest first; each maps two maps to one.
        head: the last map to logits.
    """

    def __init__(self, down: Sequence[nn.Module], up: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.encoder = _Down(down)
        self.up = nn.ModuleList(up)
        self.head = head

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Features to (b, outputs, h, w) logits, which have the size of the images."""
        maps = features.deepest
        for block, skip in zip(self.up, features.skips, strict=True):
            maps = block(maps, skip)
        return self.head(maps)


class _Down(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> Features:
        maps = [images]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return Features(maps[-1], tuple(maps[-2:0:-1]))
