"""The decoder of the residual network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from albench.encoder_decoder import Features


class Decoder(nn.Module):
    """Maps features at three scales to logits, by two refinements with skip connections and residual blocks."""

    def __init__(self, channels: tuple[int, ...], width: int, upsample: str, outputs: int) -> None:
        super().__init__()
        c2, c3, c4 = channels
        self.upsample = upsample
        self.entry = nn.Conv2d(c4, width, 3, padding=1)
        self.block = ResidualBlock(width)
        self.refine3 = Refine(c3, width)
        self.refine2 = Refine(c2, width)
        self.predict = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, features: Features) -> Tensor:
        """Prepared features to (b, outputs, h', w') logits at the resolution of r2."""
        skip3, skip2 = features.skips
        m4 = self.block(self.entry(features.deepest))
        m3 = self.refine3(skip3, self.resize(m4, skip3.shape[-2:]))
        m2 = self.refine2(skip2, self.resize(m3, skip2.shape[-2:]))
        return self.predict(relu(m2))

    def prepare(self, features: Features) -> Features:
        """The skip connections, which do not depend on r4, in place of r3 and r2."""
        r3, r2 = features.skips
        return Features(features.deepest, (self.refine3.skip(r3), self.refine2.skip(r2)))

    def resize(self, maps: Tensor, size: torch.Size) -> Tensor:
        """Interpolate (b, k, h, w) maps to a new height and width."""
        corners = False if self.upsample == "bilinear" else None
        return interpolate(maps, size, mode=self.upsample, align_corners=corners)


class Refine(nn.Module):
    """`block(skip(maps) + coarse)` with `skip(maps) = skip_block(conv(maps))` and coarse maps of the same size."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.skip_block = ResidualBlock(width)
        self.block = ResidualBlock(width)

    def skip(self, maps: Tensor) -> Tensor:
        """(b, channels, h, w) features to (b, width, h, w)."""
        return self.skip_block(self.conv(maps))

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        """Two (b, width, h, w) maps to one."""
        return self.block(skip + coarse)


class ResidualBlock(nn.Module):
    """`x + conv(relu(conv(relu(x))))` without normalization."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) to the same shape."""
        return x + self.conv2(relu(self.conv1(relu(x)), inplace=True))
