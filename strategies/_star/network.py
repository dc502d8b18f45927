"""STAR's network: the plain network, an encoder of labeled slices, and attention to their encodings (the memory).

Shapes: b slices, n memory slices per slice, p = h w positions of the bottleneck, which has D channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from albench.encoder_decoder import EncoderDecoder, Extended, Features, Splits, encoder_of
from albench.errors import NetworkError
from albench.network import Task
from albench.training.batches import Batch
from albench.training.device import copy_all
from albench.training.predictor import eval_mode


class Labeled(NamedTuple):
    """What is read of labeled slices.

    Attributes:
        images: (b, c, h, w).
        masks: (b, 1, h, w) label maps, 0 where the label is unknown.
        valid: (b, 1, h, w), 1 on image pixels and 0 on padding.
        known: (b, 1, h, w), 1 on image pixels whose label is known and 0 elsewhere.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    known: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Labeled:
        """That of a batch."""
        return cls(batch.images, batch.masks, batch.valid, batch.known)


class KeyValues(NamedTuple):
    """Keys and values of attention, one per position.

    Attributes:
        keys: (b, p, D/8).
        values: (b, p, D/2).
    """

    keys: Tensor
    values: Tensor


class StarNetwork(Extended, Splits):
    """The network of all strategies (`plain`), whose encoder is Enc_U, with Enc_L and key/value heads added.

    It is built first, so that a seed gives it the same initial weights as for all other strategies.

    Args:
        share_kv: one key/value head for both encoders, as in Eq. 1, instead of one for each.
        identity: initialize the value heads to copy features: the head of the memory the first half of the channels,
            the head of the slice to segment the second half. So the decoder reads each feature from the channel that it
            had in the first stage. A single head cannot copy both halves, so a shared one is initialized at random.

    Raises:
        NetworkError: the network does not offer its encoder, or a bottleneck of another number of channels.
    """

    plain: EncoderDecoder

    def __init__(self, task: Task, *, share_kv: bool, identity: bool) -> None:
        super().__init__()
        self.plain = encoder_of(task.build())
        depth = _depth(self.plain.encoder, task)
        if depth % 8:
            raise NetworkError(
                f"attention needs a bottleneck with a multiple of 8 channels, this one has {depth}: change the options "
                "of the network that set them (albench show NETWORK), such as network.width of residual"
            )
        self.outputs = task.outputs
        self.labeled_encoder = LabeledEncoder(task)
        self.query_head = KeyValueHead(depth)
        self.memory_head = self.query_head if share_kv else KeyValueHead(depth)
        if identity and not share_kv:
            _copy_channels(self.memory_head.value, 0)
            _copy_channels(self.query_head.value, depth // 2)

    def encode(self, images: Tensor) -> Features:
        """(b, c, h, w) images to features of Enc_U."""
        return self.plain.encode(images)

    def prepare(self, features: Features) -> Features:
        """Compute the part of `decode` that the bottleneck does not change, once for several calls of `decode`."""
        return self.plain.prepare(features)

    def decode(self, features: Features, size: torch.Size) -> Tensor:
        """Prepared features to (b, k, h, w) logits of the given height and width."""
        return self.plain.decode(features, size)

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) images to (b, k, h, w) logits, without attention."""
        return self.plain(images)

    def share_encoder(self) -> None:
        """Copy Enc_U to Enc_L, running statistics included; the stems of mask and background are left unchanged."""
        copy_all(self.plain.encoder.state_dict().values(), self.labeled_encoder.encoder.state_dict().values())

    def propagate(self, images: Tensor, memory: Labeled) -> Tensor:
        """Segment slices by attention to one labeled slice each, as in training.

        Args:
            images: (b, c, h, w) slices to segment.
            memory: b labeled slices.

        Returns:
            (b, k, h, w) logits.
        """
        features = self.encode(images)
        labeled = self.labeled_encoder(memory)
        query, known = features.deepest, labeled.deepest
        valid = valid_positions(memory.valid, known).flatten(1)
        read = aggregate(self.query_head(query), self.memory_head(known), valid, known.shape[-2:])
        return self.decode(self.prepare(features)._replace(deepest=read), images.shape[-2:])


class LabeledEncoder(nn.Module):
    """Enc_L: an encoder whose first convolution also has the mask of every class and the background as inputs.

    Where the label is unknown, all of them are 0. Filters for them are convolutions of their own, the stems, whose
    output is added to that of the first convolution.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.encoder = task.build_encoder()
        self._name, conv = _first_convolution(self.encoder, task.channels)
        self.mask_stem, self.background_stem = _stem(task.classes, conv), _stem(1, conv)

    def forward(self, labeled: Labeled) -> Features:
        """b labeled slices to features."""
        labels = torch.arange(1, self.mask_stem.in_channels + 1, device=labeled.masks.device)[:, None, None]
        masks = (labeled.masks == labels).to(labeled.images.dtype)
        background = 1 - masks.sum(1, keepdim=True) - (labeled.valid - labeled.known)

        def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + self.mask_stem(masks) + self.background_stem(background)

        handle = self.encoder.get_submodule(self._name).register_forward_hook(add)
        try:
            return self.encoder(labeled.images)
        finally:
            handle.remove()


class KeyValueHead(nn.Module):
    """Enc_KV: a convolution for keys and one for values, on the bottleneck."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(depth, depth // 8, 3, padding=1)
        self.value = nn.Conv2d(depth, depth // 2, 3, padding=1)

    def forward(self, maps: Tensor) -> KeyValues:
        """(b, D, h, w) to keys and values, Eq. 1."""
        return KeyValues(self.key(maps).flatten(2).transpose(1, 2), self.value(maps).flatten(2).transpose(1, 2))


def aggregate(query: KeyValues, memory: KeyValues, valid: Tensor, size: torch.Size) -> Tensor:
    """What the decoder gets in place of the bottleneck: values read from the memory, and those of the slice itself.

    Args:
        query: (b, p, .) keys and values of the slices to segment.
        memory: (b, m, .) keys and values of m = n p positions of the memory of each slice.
        valid: (b, m) bool, False at positions without attention.
        size: h and w.

    Returns:
        (b, D, h, w) features.
    """
    read = attend(query.keys, memory.keys, memory.values, valid)  # Eq. 2
    return torch.cat([read, query.values], 2).transpose(1, 2).unflatten(2, size)  # Eq. 3


def attend(queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> Tensor:
    """The attention of Eq. 2: a softmax over all positions of all memory slices, scaled by the root of the key depth.

    Args:
        queries: (b, p, k) keys of the slices to segment.
        keys: (b, m, k) keys of the memory.
        values: (b, m, v) values of the memory.
        valid: (b, m) bool, at least one True per slice.

    Returns:
        (b, p, v) values.
    """
    return scaled_dot_product_attention(queries, keys, values, attn_mask=valid[:, None])


def attention_map(queries: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
    """(b, p, m) attention weights of the memory positions, which sum to 1 over m."""
    scores = queries.float() @ keys.float().transpose(1, 2) / keys.shape[2] ** 0.5
    return scores.masked_fill(~valid[:, None], -torch.inf).softmax(2)


def valid_positions(valid: Tensor, features: Tensor) -> Tensor:
    """(b, h, w) bool: positions of (b, k, h, w) features that cover a pixel where `valid` (b, 1, H, W) is 1.

    A slice without valid pixels, which can result from augmentation, is valid everywhere.
    """
    inside = interpolate(valid, features.shape[-2:], mode="area")[:, 0] > 0
    return inside | ~inside.any(2, keepdim=True).any(1, keepdim=True)


def _copy_channels(conv: nn.Conv2d, first: int) -> None:
    """Initialize a convolution so that its output channels are copies of its input channels from `first` on."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    with torch.no_grad():
        for channel in range(conv.out_channels):
            conv.weight[channel, first + channel, 1, 1] = 1


def _depth(encoder: nn.Module, task: Task) -> int:
    """Channels of the bottleneck, found out by encoding an empty slice."""
    device = next(encoder.parameters()).device
    with eval_mode(*encoder.modules()), torch.no_grad():
        features: Features = encoder(torch.zeros(1, task.channels, *task.size, device=device))
    return features.deepest.shape[1]


def _first_convolution(encoder: nn.Module, channels: int) -> tuple[str, nn.Conv2d]:
    """The convolution that reads the image, and its name."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == channels:
                return name, module
            break
    raise NetworkError(
        f"an encoder of labeled slices needs an encoder whose first layer is a convolution of the {channels} image "
        "channels, this one has none: choose another network"
    )


def _stem(inputs: int, conv: nn.Conv2d) -> nn.Conv2d:
    """A first layer of the same shape as that of the image, with other input channels, initialized as in ResNets."""
    stem = nn.Conv2d(
        inputs,
        conv.out_channels,
        _pair(conv.kernel_size),
        stride=_pair(conv.stride),
        padding=conv.padding if isinstance(conv.padding, str) else _pair(conv.padding),
        dilation=_pair(conv.dilation),
        bias=False,
    )
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    return sizes[0], sizes[1]
