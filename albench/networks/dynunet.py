"""MONAI's DynUNet, configured from size and spacing as the 2D configuration of nnU-Net v2 [1] is.

Every stage has two convolutions of kernel 3 with instance normalization and a leaky ReLU. A strided convolution halves
an axis as long as its map has at least 8 pixels, so that at least 4 are left. If pixels are at least twice as long on
one axis as on the other, the finer axis is halved first, and the kernel is 1 on the coarser one until then. There are
32 channels in the first stage, twice as many in each further one, and at most 512.

Differences from nnU-Net: an axis of odd length is not halved, where nnU-Net pads its patches; there is no deep
supervision; and there is dropout, which strategies with dropout samples need (`network.dropout=0` has none).
Preprocessing, loss and training are those of albench.

[1] Isensee et al. nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation. Nature
    Methods 18, 2021. github.com/MIC-DKFZ/nnUNet, `get_pool_and_conv_props`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import nn

from albench.config import Positive, Probability
from albench.network import Network, Task, register
from albench.networks._u_shape import UShape

_SMALLEST = 4  # pixels of a feature map along an axis
_FEWEST = 3  # stages that DynUNet can have

Axes = tuple[int, int]


class Plan(NamedTuple):
    """Strides and kernels of every stage, along y and x."""

    strides: list[Axes]
    kernels: list[Axes]


@register("dynunet")
@dataclass(frozen=True)
class DynUNet(Network):
    """MONAI's DynUNet with the 2D plan of nnU-Net.

    Attributes:
        channels: of the first stage.
        most_channels: of any stage.
        dropout: probability of dropping an activation after each convolution.
    """

    paper: ClassVar[str] = "Isensee et al. 2021"

    channels: Positive = 32
    most_channels: Positive = 512
    dropout: Probability = 0.1

    def build(self, task: Task) -> UShape:
        """The network of the plan for the task's size and spacing."""
        from monai.networks.nets.dynunet import DynUNet as Blocks  # importing MONAI takes seconds

        strides, kernels = plan(task.size, task.spacing)
        blocks = Blocks(
            2,
            task.channels,
            task.outputs,
            kernels,
            strides,
            strides[1:],
            filters=[min(self.channels * 2**stage, self.most_channels) for stage in range(len(strides))],
            dropout=self.dropout or None,
        )
        for module in blocks.output_block.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # logits are not dropped
        down = [blocks.input_block, *blocks.downsamples, blocks.bottleneck]
        return UShape(down, list(blocks.upsamples), blocks.output_block)


def plan(size: Axes, spacing: tuple[float, float]) -> Plan:
    """The stages for slices of a size in pixels, whose pixels measure `spacing` in millimeters, along y and x."""
    now, length = list(size), list(spacing)
    strides, kernels, kernel = [(1, 1)], [], [1, 1]
    while True:
        finest = min((length[axis] for axis in (0, 1) if now[axis] >= 2 * _SMALLEST), default=0.0)
        halved = [
            axis for axis in (0, 1) if now[axis] >= 2 * _SMALLEST and now[axis] % 2 == 0 and length[axis] < 2 * finest
        ]
        if not halved or (len(halved) == 1 and now[halved[0]] < 3 * _SMALLEST):
            break
        kernel = [3 if length[axis] < 2 * min(length) else kernel[axis] for axis in (0, 1)]
        kernels.append((kernel[0], kernel[1]))
        strides.append((2 if 0 in halved else 1, 2 if 1 in halved else 1))
        for axis in halved:
            now[axis], length[axis] = now[axis] // 2, 2 * length[axis]
    strides += [(1, 1)] * (_FEWEST - len(strides))
    kernels += [(3, 3)] * (len(strides) - len(kernels))
    return Plan(strides, kernels)
