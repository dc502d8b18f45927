"""The default network: a residual encoder, dropout on the bottleneck and a refinement decoder.

The architecture is that of STAR's supervised path (Ma et al., MICCAI 2025), whose decoder comes from space-time
memory networks (Oh et al., ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from albench.config import Positive, Probability, Rate
from albench.encoder_decoder import EncoderDecoder, Features
from albench.network import Network, Task, register
from albench.networks._refinement import Decoder
from albench.networks._resnet import Backbone, Encoder


@register("residual")
@dataclass(frozen=True)
class Residual(Network):
    """The network of the STAR paper.

    Attributes:
        backbone: residual network of the encoder.
        width: factor on the numbers of channels of the encoder.
        decoder_width: channels of the decoder.
        stem_stride: downsampling by the first layers; the bottleneck has another factor of 4, so 4 gives 1/16.
        dropout: probability of dropping a feature of the bottleneck.
        upsample: interpolation in the decoder.
        weights: path of a torchvision ResNet checkpoint for the encoder; none draws initial weights at random.
    """

    paper: ClassVar[str] = "Ma et al., MICCAI 2025"
    files: ClassVar[tuple[str, ...]] = ("weights",)

    backbone: Backbone = "resnet50"
    width: Rate = 1.0
    decoder_width: Positive = 256
    stem_stride: Literal[1, 2, 4] = 4
    dropout: Probability = 0.5
    upsample: Literal["bilinear", "nearest"] = "bilinear"
    weights: str | None = None

    def build(self, task: Task) -> Segmenter:
        """The network, with the checkpoint in its encoder if one is named."""
        return Segmenter(task, self)

    def build_encoder(self, task: Task) -> Encoder:
        """An encoder with weights drawn at random."""
        return _encoder(task, self)


class Segmenter(EncoderDecoder):
    """An encoder and a decoder, with dropout on the bottleneck before the decoder and nowhere else.

    The features are r4 (b, 1024, h/16, w/16), r3 (b, 512, h/8, w/8) and r2 (b, 256, h/4, w/4), as sizes with the
    default stem and numbers of channels of resnet50 with width 1; resnet18 and 34 have a quarter of these channels. A
    subclass that overrides `decode` and reads the skips in it must also override `prepare` to return the features
    unchanged.
    """

    def __init__(self, task: Task, options: Residual) -> None:
        super().__init__()
        self.encoder: Encoder = _encoder(task, options)
        if options.weights:
            self.encoder.load_torchvision(Path(options.weights), options.backbone)
        self.dropout = nn.Dropout(options.dropout)
        self.decoder = Decoder(self.encoder.channels, options.decoder_width, options.upsample, task.outputs)

    def prepare(self, features: Features) -> Features:
        """r4 as it is, and the skip connections (b, decoder_width, ., .) from r3 and r2 in place of these."""
        return self.decoder.prepare(features)

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Prepared features to (b, outputs, h, w) logits of the given height and width, after dropout on r4."""
        logits = self.decoder(features._replace(deepest=self.dropout(features.deepest)))
        return self.decoder.resize(logits, size)


def _encoder(task: Task, options: Residual) -> Encoder:
    return Encoder(task.channels, backbone=options.backbone, width=options.width, stem_stride=options.stem_stride)
