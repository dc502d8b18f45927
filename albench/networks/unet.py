"""The U-Net [1] in the form of MONAI's BasicUNet, with any number of levels.

Two convolutions with instance normalization and a leaky ReLU on every level, maximum pooling between levels, and
transposed convolutions upward. With five levels it is MONAI's BasicUNet in 2D.

[1] Falk et al. U-Net: deep learning for cell counting, detection, and morphometry. Nature Methods 16, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from albench.config import Positive, Probability
from albench.errors import ConfigError
from albench.network import Network, Task, register
from albench.networks._u_shape import UShape

_ACT = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
_NORM = ("instance", {"affine": True})


@register("unet")
@dataclass(frozen=True)
class UNet(Network):
    """MONAI's BasicUNet.

    Attributes:
        channels: of the levels from the finest to the bottleneck; every level halves the resolution.
        dropout: probability of dropping an activation after each convolution.
    """

    paper: ClassVar[str] = "Falk et al. 2019"

    channels: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=5)] = (32, 32, 64, 128, 256)
    dropout: Probability = 0.1

    def build(self, task: Task) -> UShape:
        """The network, of which the decoder ends at full resolution."""
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat  # importing MONAI takes seconds

        levels, halvings = len(self.channels), len(self.channels) - 1
        if max(task.size) >> halvings < 2:  # an instance norm needs more than one position
            raise ConfigError(
                f"network.channels must have few enough levels for a bottleneck of at least 2 pixels, {levels} levels "
                f"halve slices of {list(task.size)} pixels {halvings} times: leave out a level"
            )
        first, *deeper = self.channels
        block = (_ACT, _NORM, True, self.dropout)
        down: list[nn.Module] = [TwoConv(2, task.channels, first, *block)]
        down += [Down(2, above, own, *block) for above, own in zip(self.channels, deeper, strict=False)]
        # as in BasicUNet, an upward step halves the channels, but for the last
        up = [
            UpCat(2, below, own, own, *block, halves=level > 0)
            for level, (own, below) in enumerate(zip(self.channels, deeper, strict=False))
        ]
        return UShape(down, up[::-1], nn.Conv2d(first, task.outputs, kernel_size=1))
