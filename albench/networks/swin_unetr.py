"""Swin UNETR [1] in 2D: an encoder of shifted-window attention and a convolutional decoder, from MONAI.

Its maps are halved five times, so that slices are padded with zeros at the bottom and right to multiples of 32 pixels,
and logits are cut to the size of the slice. Dropout is part of the attention blocks, so that every dropout sample runs
the whole network. It does not offer its encoder: its skip connections read the image as well, past the attention.

[1] Hatamizadeh et al. Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI Images. BrainLes,
    MICCAI 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from albench.config import Probability
from albench.errors import ConfigError
from albench.network import Network, Task, register

_MULTIPLE = 32  # of the sides of what SwinUNETR takes, in pixels
_GRID = 16  # of the sides of a slice


@register("swin-unetr")
@dataclass(frozen=True)
class SwinUNETR(Network):
    """MONAI's SwinUNETR.

    Attributes:
        channels: of the first stage, a multiple of 12; each of four further stages has twice as many.
        dropout: probability of dropping a feature in the attention blocks.
    """

    paper: ClassVar[str] = "Hatamizadeh et al. 2021"

    channels: Annotated[int, Field(ge=12, multiple_of=12)] = 24
    dropout: Probability = 0.1

    def build(self, task: Task) -> nn.Module:
        """The network, for slices of any size. Raises ConfigError where its deepest map would be a single pixel."""
        if max(task.size) <= _MULTIPLE:  # an instance norm needs more than one position
            raise ConfigError(
                f"swin-unetr needs slices with a side above {_MULTIPLE} pixels, got {list(task.size)}: choose another "
                "network or a larger data.size"
            )
        return PaddedSwinUNETR(task, self)


class PaddedSwinUNETR(nn.Module):
    """MONAI's network with padding to the multiples that it takes."""

    def __init__(self, task: Task, options: SwinUNETR) -> None:
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinUNETR as Whole  # importing MONAI takes seconds

        self.whole = Whole(
            task.channels, task.outputs, feature_size=options.channels, drop_rate=options.dropout, spatial_dims=2
        )

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, outputs, h, w) logits."""
        height, width = images.shape[-2:]
        return self.whole(_pad(images))[..., :height, :width]

    def embedding(self, images: Tensor) -> Tensor:
        """The (b, d, h/16, w/16) bottleneck, each position of which is repeated twice along both axes.

        Repeated, because a position of 32 pixels may lie half in the padding, which is cut.
        """
        deepest = self.whole.encoder10(self.whole.swinViT(_pad(images), self.whole.normalize)[4])
        height, width = (side // _GRID for side in images.shape[-2:])
        return deepest.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]


def _pad(images: Tensor) -> Tensor:
    """Images with zeros at the bottom and right, so that their sides are multiples of 32."""
    height, width = images.shape[-2:]
    return pad(images, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE))
