"""The segmentation network of all strategies: a residual encoder, dropout and a refinement decoder.

The architecture is that of STAR's supervised path (Ma et al., MICCAI 2025), whose decoder comes from space-time
memory networks (Oh et al., ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from albench.config import Network
from albench.errors import ConfigError
from albench.probabilities import outputs_for

_STAGES = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3], "resnet50": [3, 4, 6, 3]}  # blocks in each stage


@dataclass(frozen=True)
class Task:
    """What a network is built for.

    Attributes:
        channels: number of image channels.
        size: height and width of a slice in pixels.
        network: options of the Segmenter.
        classes: number of classes besides the background.
    """

    channels: int
    size: tuple[int, int]
    network: Network
    classes: int = 1

    @property
    def outputs(self) -> int:
        """Channels of the logits, see `albench.probabilities`."""
        return outputs_for(self.classes)


class Features(NamedTuple):
    """Feature maps of the encoder. Sizes are those of the default stem, numbers of channels those of width 1.

    Attributes:
        r4: (b, 1024, h/16, w/16) for resnet50, 256 channels for resnet18 and 34.
        r3: (b, 512, h/8, w/8), 128 channels.
        r2: (b, 256, h/4, w/4), 64 channels.
    """

    r4: Tensor
    r3: Tensor
    r2: Tensor


class DecoderInputs(NamedTuple):
    """Features with the skip connections computed, so that decoding them again with other dropout masks costs less.

    Attributes:
        r4: as in Features.
        skip3: (b, width, h/8, w/8), the skip connection from r3.
        skip2: (b, width, h/4, w/4), the skip connection from r2.
    """

    r4: Tensor
    skip3: Tensor
    skip2: Tensor


class Segmenter(nn.Module):
    """The segmentation network of all strategies: `decode(encode(x))`, with dropout in `decode` only.

    The loop only requires that a network maps (b, c, h, w) images to (b, task.outputs, h, w) logits. Dropout samples
    and embeddings (`Learner.predict_mc`, `Learner.embed`) require a Segmenter or a subclass. A subclass that overrides
    `decode` and reads r3 or r2 in it must also override `prepare` to return the features unchanged.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        options = task.network
        self.encoder = Encoder(task.channels, options)
        if options.weights:
            self.encoder.load_torchvision(Path(options.weights), options.backbone)
        self.dropout = nn.Dropout(options.dropout)
        self.outputs = task.outputs
        self.decoder = Decoder(self.encoder.channels, options.decoder_width, options.upsample, task.outputs)

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        return self.encoder(images)

    def prepare(self, features: Features) -> Features | DecoderInputs:
        """Compute the part of `decode` that dropout does not change, once for several calls of `decode`."""
        return DecoderInputs(features.r4, *self.decoder.skips(features))

    def decode(self, features: Features | DecoderInputs, size: torch.Size) -> Tensor:
        """Features to (b, outputs, h, w) logits of the given height and width, after dropout on r4."""
        logits = self.decoder(features._replace(r4=self.dropout(features.r4)))
        return self.decoder.resize(logits, size)

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, outputs, h, w) logits."""
        return self.decode(self.encode(images), images.shape[-2:])


class Encoder(nn.Module):
    """The first three stages of MONAI's 2D ResNet."""

    def __init__(self, channels: int, options: Network) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck  # importing MONAI takes seconds

        block = ResNetBottleneck if options.backbone == "resnet50" else ResNetBlock
        planes = [max(1, round(width * options.width)) for width in (64, 128, 256, 512)]
        backbone = ResNet(
            block,
            _STAGES[options.backbone],
            planes,
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_stride=min(options.stem_stride, 2),
            no_max_pool=options.stem_stride < 4,
            feed_forward=False,
            bias_downsample=False,
        )
        self.conv1, self.bn1 = backbone.conv1, backbone.bn1
        self.pool = nn.Identity() if options.stem_stride < 4 else backbone.maxpool
        self.layer1, self.layer2, self.layer3 = backbone.layer1, backbone.layer2, backbone.layer3
        self.channels = tuple(block.expansion * width for width in planes[:3])

    def forward(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        return self.stages(self.conv1(images))

    def stages(self, stem: Tensor) -> Features:
        """Everything after the first convolution; `stem` is its (b, 64, h/2, w/2) output."""
        stem = relu(self.bn1(stem), inplace=True)
        r2 = self.layer1(self.pool(stem))
        r3 = self.layer2(r2)
        return Features(self.layer3(r3), r3, r2)

    def load_torchvision(self, path: Path, backbone: str) -> None:
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

    def forward(self, features: Features | DecoderInputs) -> Tensor:
        """Features to (b, outputs, h', w') logits at the resolution of r2."""
        skip3, skip2 = self.skips(features) if isinstance(features, Features) else features[1:]
        m4 = self.block(self.entry(features.r4))
        m3 = self.refine3(skip3, self.resize(m4, skip3.shape[-2:]))
        m2 = self.refine2(skip2, self.resize(m3, skip2.shape[-2:]))
        return self.predict(relu(m2))

    def skips(self, features: Features) -> tuple[Tensor, Tensor]:
        """The skip connections from r3 and r2, which do not depend on r4."""
        return self.refine3.skip(features.r3), self.refine2.skip(features.r2)

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
