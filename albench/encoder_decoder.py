"""What a network may offer beside its logits, and for whom.

| part | for |
| --- | --- |
| `Splits`: `encode` and `decode` | dropout samples, which then run what comes before dropout once per slice |
| `EncoderDecoder`: an `encoder` in addition | strategies with a second encoder, such as `star` |
| a method `embedding`, or the name of a layer | strategies that compare slices, such as `k-center` |
| a convolution or linear layer, whatever comes after the last one | gradients of its weights, for `badge` |

Dropout samples also need dropout, a module of `torch.nn` that drops with p > 0.

A network offers the first two by its base class, because other libraries have networks with methods of these names and
of another meaning. `EncoderDecoder` also has a method `embedding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from albench.errors import NetworkError

Part = Literal["dropout", "embedding", "last layer"]


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


class Splits(nn.Module):
    """A network in two parts: its logits are `decode(prepare(encode(images)), size)`."""

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        raise NotImplementedError

    def prepare(self, features: Features) -> Features:
        """Compute the part of the decoder that dropout and `deepest` do not change; `decode` takes the result."""
        return features

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Prepared features to (b, outputs, h, w) logits of the given height and width."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, outputs, h, w) logits."""
        return self.decode(self.prepare(self.encode(images)), images.shape[-2:])


class EncoderDecoder(Splits):
    """A network of an encoder and a decoder. A subclass has an `encoder`, images to `Features`, and a `decode`.

    The first convolution of the encoder reads the images, so that a second encoder can be given more inputs.
    """

    encoder: nn.Module

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features."""
        return self.encoder(images)

    def embedding(self, images: Tensor) -> Tensor:
        """The (b, d, h', w') bottleneck, whose positions cover the image evenly."""
        return self.encode(images).deepest


class Extended(nn.Module):
    """A network with parts of its strategy, which contains the one that all strategies train as `plain`."""

    plain: nn.Module


def plain(network: nn.Module) -> nn.Module:
    """The network that all strategies train: what an `Extended` one contains, or else the network itself."""
    return network.plain if isinstance(network, Extended) else network


def check_parts(network: nn.Module, parts: Iterable[Part]) -> None:
    """Look for parts of a network, without running it.

    Raises:
        NetworkError: it lacks one of them.
    """
    for part in parts:
        _FINDERS[part](network)


def dropouts_of(network: nn.Module) -> list[nn.Module]:
    """The modules of the network that drop something in training mode.

    Raises:
        NetworkError: there are none.
    """
    dropouts: list[nn.Module] = [one for one in network.modules() if isinstance(one, _DropoutNd) and one.p > 0]
    if not dropouts:
        raise NetworkError(
            f"dropout samples need a network with dropout, {type(network).__name__} has none above 0: use --set "
            "network.dropout=0.5 if it has this option, or choose another network"
        )
    return dropouts


def last_layers_of(network: nn.Module) -> list[nn.Module]:
    """The convolutions and linear layers of the network, one of which is the last layer with weights.

    Raises:
        NetworkError: there are none.
    """
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    layers: list[nn.Module] = [one for one in plain(network).modules() if isinstance(one, kinds)]
    if not layers:
        raise NetworkError(
            f"gradients need a network with a convolution or linear layer of torch.nn, {type(network).__name__} has "
            "none: choose another network"
        )
    return layers


def encoder_of(network: nn.Module) -> EncoderDecoder:
    """The network, if it offers its encoder.

    Raises:
        NetworkError: it does not.
    """
    if not (isinstance(network, EncoderDecoder) and isinstance(getattr(network, "encoder", None), nn.Module)):
        raise NetworkError(
            "a second encoder needs a network that is derived from albench.encoder_decoder.EncoderDecoder and has an "
            f"encoder, {type(network).__name__} is no such network: derive it, or choose another one"
        )
    return network


def embedding_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function of (b, c, h, w) images that gives their (b, d, h', w') feature maps.

    It raises NetworkError if the network gives something else.

    Raises:
        NetworkError: the network offers none.
    """
    network = plain(network)
    own: Callable[[Tensor], object] | None = getattr(network, "embedding", None)
    if callable(own) and not isinstance(own, nn.Module):  # a module of this name embeds patches, not slices
        return partial(_maps, own, f"embedding(images) of {type(network).__name__}")
    layer = getattr(network, "embedding_layer", None)
    if not isinstance(layer, str):
        raise NetworkError(
            "embeddings need a network with a method embedding, or with the name of a layer in embedding_layer, "
            f"{type(network).__name__} has neither: add one of them, choose another network, or give a file of "
            "vectors with strategy.embeddings"
        )
    try:
        module = network.get_submodule(layer)
    except AttributeError as error:
        raise NetworkError(
            f"embedding_layer must name a layer of {type(network).__name__}, got '{layer}': take a name of "
            "named_modules()"
        ) from error
    return partial(_maps, partial(_output_of, network, module, layer), f"embedding_layer '{layer}'")


def _output_of(network: nn.Module, module: nn.Module, layer: str, images: Tensor) -> object:
    """What a layer of the network gives for some images. Raises NetworkError."""
    found: list[object] = []
    handle = module.register_forward_hook(lambda _, inputs, output: found.append(output))
    try:
        network(images)
    finally:
        handle.remove()
    if not found:
        raise NetworkError(f"embedding_layer must name a layer that is called, '{layer}' is not: name another layer")
    return found[-1]


def _maps(embed: Callable[[Tensor], object], source: str, images: Tensor) -> Tensor:
    """What `embed` gives for some images, if it is one feature map per image. Raises NetworkError."""
    output = embed(images)
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != len(images):
        raise NetworkError(
            f"embeddings must be feature maps (b, d, h, w), {source} gave {in_words(output)} for {len(images)} slices: "
            "return maps, or name a layer that does in embedding_layer"
        )
    return output


def in_words(output: object) -> str:
    """What a network gave, for messages: the shape of a tensor, or the type of anything else."""
    return f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"


_FINDERS: dict[Part, Callable[[nn.Module], object]] = {
    "dropout": dropouts_of,
    "embedding": embedding_of,
    "last layer": last_layers_of,
}
