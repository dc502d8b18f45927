"""The encoder of the residual network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from albench.encoder_decoder import Features
from albench.errors import ConfigError

Backbone = Literal["resnet18", "resnet34", "resnet50"]

_BLOCKS: dict[Backbone, list[int]] = {  # in each stage
    "resnet18": [2, 2, 2, 2],
    "resnet34": [3, 4, 6, 3],
    "resnet50": [3, 4, 6, 3],
}


class Encoder(nn.Module):
    """The first three stages of MONAI's 2D ResNet."""

    def __init__(self, channels: int, *, backbone: Backbone, width: float, stem_stride: int) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck  # importing MONAI takes seconds

        block = ResNetBottleneck if backbone == "resnet50" else ResNetBlock
        planes = [max(1, round(count * width)) for count in (64, 128, 256, 512)]
        resnet = ResNet(
            block,
            _BLOCKS[backbone],
            planes,
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_stride=min(stem_stride, 2),
            no_max_pool=stem_stride < 4,
            feed_forward=False,
            bias_downsample=False,
        )
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.pool = nn.Identity() if stem_stride < 4 else resnet.maxpool
        self.layer1, self.layer2, self.layer3 = resnet.layer1, resnet.layer2, resnet.layer3
        self.channels = tuple(block.expansion * count for count in planes[:3])

    def forward(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        stem = relu(self.bn1(self.conv1(images)), inplace=True)
        r2 = self.layer1(self.pool(stem))
        r3 = self.layer2(r2)
        return Features(self.layer3(r3), (r3, r2))

    def load_torchvision(self, path: Path, backbone: Backbone) -> None:
        """Load a torchvision ResNet checkpoint.

        The filters of the three color channels are summed, and each of c image channels gets the sum divided by c. So
        an image with c equal channels gives the features of the same gray image in color.

        Raises:
            ConfigError: the file is missing, is not a checkpoint, or has another backbone or width.
        """
        rule = f"network.weights must be a torchvision {backbone} checkpoint of width 1"
        if not path.is_file():
            raise ConfigError(f"{rule}, '{path}' does not exist: name an existing file or leave the option out")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for a file that is not a checkpoint
            raise ConfigError(f"{rule}, '{path}' cannot be read as a checkpoint: download it again") from error
        own = self.state_dict()
        missing = [key for key in own if key not in state]
        if missing:
            raise ConfigError(f"{rule}, '{path}' lacks '{missing[0]}': name a checkpoint of {backbone}")
        state = {key: state[key] for key in own}
        channels = own["conv1.weight"].shape[1]
        state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
        for key, value in own.items():
            if value.shape != state[key].shape:
                raise ConfigError(
                    f"{rule}, '{key}' has shape {tuple(state[key].shape)} in '{path}', {tuple(value.shape)} is needed"
                )
        self.load_state_dict(state)
