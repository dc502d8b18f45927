"""What a network may offer beside its logits, and for whom. Strategies find each part by the name of its attribute.

| part | for |
| --- | --- |
| `Splits`: `encode` and `decode` | dropout samples, which then run what comes before dropout once per slice |
| `Encodes`: `encoder` in addition | strategies with a second encoder, such as `star` |
| `Embeds`: `embedding`, or the name of a layer | strategies that compare slices, such as `k-center` |

`EncoderDecoder` offers all of them to a subclass that has an `encoder` and a `decode`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

from albench.errors import NetworkError


class Features(NamedTuple):
    """Feature maps of an encoder, or what a decoder makes of them before dropout (`EncoderDecoder.prepare`).

    Attributes:
        deepest: (b, d, h', w'), the bottleneck; its positions cover the image evenly.
        skips: maps of higher resolution for the skip connections, the deepest first.
    """

    deepest: Tensor
    skips: tuple[Tensor, ...]

    def rows(self, rows: Tensor | slice) -> Features:
        """The features of some of the slices."""
        return Features(self.deepest[rows], tuple(maps[rows] for maps in self.skips))


class Splits(Protocol):
    """A network whose logits are `decode(encode(images), size)`, with `prepare` between them if it has one."""

    def __call__(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, outputs, h, w) logits."""

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Features to (b, outputs, h, w) logits of the given height and width."""


class Encodes(Splits, Protocol):
    """A network that has its encoder as a module, with the same result as `encode`.

    The first convolution of the encoder reads the images, so that a second encoder can be given more inputs.
    """

    encoder: nn.Module


class Embeds(Protocol):
    """A network that describes slices by feature maps."""

    def embedding(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, d, h', w') maps whose positions cover the image evenly."""


class EncoderDecoder(nn.Module):
    """A network of an encoder and a decoder. A subclass has an `encoder`, images to `Features`, and a `decode`."""

    encoder: nn.Module

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        return self.encoder(images)

    def prepare(self, features: Features) -> Features:
        """Compute the part of the decoder that dropout and `deepest` do not change; `decode` takes the result."""
        return features

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Prepared features to (b, outputs, h, w) logits of the given height and width."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, outputs, h, w) logits."""
        return self.decode(self.prepare(self.encode(images)), images.shape[-2:])

    def embedding(self, images: Tensor) -> Tensor:
        """The (b, d, h', w') bottleneck."""
        return self.encode(images).deepest


def plain(network: nn.Module) -> nn.Module:
    """The network that all strategies train, which one with more parts contains as its attribute `plain`."""
    inner = getattr(network, "plain", None)
    return inner if isinstance(inner, nn.Module) else network


def splits(network: nn.Module) -> TypeGuard[Splits]:
    """Whether a network can be run in two parts."""
    return all(callable(getattr(network, method, None)) for method in ("encode", "decode"))


def prepare(network: Splits, features: Features) -> Features:
    """Apply the network's `prepare`, if it has one."""
    own: Callable[[Features], Features] | None = getattr(network, "prepare", None)
    return own(features) if callable(own) else features


def encoder_of(network: nn.Module) -> Encodes:
    """The network, if it offers its encoder.

    Raises:
        NetworkError: it does not.
    """
    if not (splits(network) and isinstance(getattr(network, "encoder", None), nn.Module)):
        raise NetworkError(
            f"a second encoder needs a network with encoder, encode and decode, {type(network).__name__} lacks them: "
            "choose another network, or derive it from albench.encoder_decoder.EncoderDecoder"
        )
    return cast(Encodes, network)


def embedding_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function of (b, c, h, w) images that gives their (b, d, h', w') feature maps.

    Raises:
        NetworkError: the network offers none.
    """
    network = plain(network)
    own: Callable[[Tensor], Tensor] | None = getattr(network, "embedding", None)
    if callable(own):
        return own
    layer = getattr(network, "embedding_layer", None)
    if not isinstance(layer, str):
        raise NetworkError(
            "embeddings need a network with a method embedding, or with the name of a layer in embedding_layer, "
            f"{type(network).__name__} has neither: add one of them, or choose another network"
        )
    try:
        module = network.get_submodule(layer)
    except AttributeError as error:
        raise NetworkError(
            f"embedding_layer must name a layer of {type(network).__name__}, got '{layer}': take a name of "
            "named_modules()"
        ) from error
    return partial(_output_of, network, module, layer)


def _output_of(network: nn.Module, module: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What a layer of the network gives for some images. Raises NetworkError."""
    found: list[object] = []
    handle = module.register_forward_hook(lambda _, inputs, output: found.append(output))
    try:
        network(images)
    finally:
        handle.remove()
    output = found[-1] if found else None
    if not isinstance(output, Tensor) or output.ndim != 4:
        got = "is not called" if not found else f"gives {_in_words(output)}"
        raise NetworkError(
            f"embedding_layer must name a layer whose output is (b, d, h, w), '{layer}' {got}: name another layer"
        )
    return output


def _in_words(output: object) -> str:
    return f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
