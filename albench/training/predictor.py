"""Prediction with a network: probabilities, dropout samples and embeddings of slices, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from albench.data import SliceStack
from albench.encoder_decoder import embedding_of
from albench.masks import Ids
from albench.probabilities import activated, outputs_for
from albench.training.ahead import sent_ahead
from albench.training.batches import Images, batched, concat_batches
from albench.training.device import to_device
from albench.training.device_cache import DeviceCache
from albench.training.dropout_samples import DropoutSampler
from albench.training.last_layer import LastLayer

T = TypeVar("T")

_CHANNELS = 4  # of probabilities, up to which batches with several samples are as large as others


class Prediction(NamedTuple):
    """The prediction of b slices, on the device.

    Attributes:
        ids: (b,)
        probs: (b, k, h, w) float32 in the form of `albench.probabilities`, or (t, b, k, h, w) of t samples.
        valid: (b, h, w) float32, 1 on image pixels and 0 on padding.
        scored: (b, h, w) float32, 1 on the pixels that count in the score of a slice.
    """

    ids: Ids
    probs: Tensor
    valid: Tensor
    scored: Tensor


class Place(NamedTuple):
    """What the device must know to read b slices.

    Attributes:
        rows: (b, c) int64 of the slices and their context in the prepared images.
        sizes: (b, 2) height and width without padding.
    """

    rows: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, slices: SliceStack, ids: Ids) -> Place:
        """That of (b,) slices, on the CPU."""
        return cls(torch.from_numpy(slices.rows_with_context(ids)), torch.as_tensor(slices.valid[ids]))


class Predictor:
    """A network on a device, in evaluation mode.

    Args:
        network: maps (b, c, h, w) images to (b, k, h, w) logits, of which `albench.probabilities` are made.
        slices: the training slices; the id of a slice is its row.
        batch_size: slices of a training batch, see `inference_batch`.
        device: where to compute.
        device_cache: the prepared images on the device; None makes a cache of its own.
        score_unknown: whether pixels whose label is unknown count in the score of a slice.

    Attributes:
        slices_read: slices that were read to the device so far, each time counted.
    """

    def __init__(
        self,
        network: nn.Module,
        slices: SliceStack,
        *,
        batch_size: int,
        device: torch.device,
        device_cache: DeviceCache | None = None,
        score_unknown: bool = False,
    ) -> None:
        # With several threads, torch 2.13 corrupts memory in the backward pass of narrow channels-last networks on CPUs
        self._memory_format = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.network = network.to(device).to(memory_format=self._memory_format).eval()  # type: ignore[call-overload]
        self.slices = slices
        self.batch_size = batch_size
        self.device = device
        self.slices_read = 0
        self._positions = torch.arange(max(slices.shape[1:]), device=device)
        self._score_unknown = score_unknown
        self._device_cache = device_cache or DeviceCache(slices.images, device)

    @property
    def inference_batch(self) -> int:
        """Slices of a batch without gradients: on a CPU as many as in training, on a GPU four times as many.

        Without stored activations, such a batch needs less GPU memory than a training step, and a GPU does not wait for
        the launches of its kernels. On a CPU, a larger batch would not fit into its caches.
        """
        return self.batch_size * (4 if self.device.type == "cuda" else 1)

    def predict(self, slices: SliceStack, ids: Ids) -> Iterator[Prediction]:
        """Predict batch by batch."""
        return self.predict_batches(slices, self.split(ids))

    def predict_batches(self, slices: SliceStack, batches: Sequence[Ids]) -> Iterator[Prediction]:
        """Predict given batches, such as those of one case after the other, see `split`."""

        def forward(some: Ids, batch: Images) -> Prediction:
            valid = batch.valid[:, 0]
            return Prediction(some, activated(self.network(batch.images)), valid, self.scored(slices, some, valid))

        return self._stream(slices, batches, forward)

    def predict_mc(self, slices: SliceStack, ids: Ids, passes: int) -> Iterator[Prediction]:
        """Predict `passes` samples batch by batch, with an independent dropout mask for every slice and sample.

        All other modules are in evaluation mode. What comes before dropout runs once per slice where the network can be
        split there (`DropoutSampler`). Dropout masks are drawn from torch's global generator.

        Raises:
            NetworkError: the network has no dropout.
        """
        sampler = DropoutSampler(self.network)

        def forward(some: Ids, batch: Images) -> Prediction:
            draw, valid = sampler(batch.images), batch.valid[:, 0]
            (probs,) = concat_batches(((activated(draw())[None],) for _ in range(passes)), passes)
            return Prediction(some, probs, valid, self.scored(slices, some, valid))

        return self.stream(slices, ids, forward, channels=outputs_for(len(slices.classes)))

    def scored(self, slices: SliceStack, ids: Ids, valid: Tensor) -> Tensor:
        """(b, h, w): those of the `valid` pixels (b, h, w) of slices that count in their scores.

        Of a slice without any known label they are all, because nothing else is left.
        """
        if slices.known is None or self._score_unknown:
            return valid
        known = slices.known.stack(ids)
        known[~slices.annotatable[ids]] = 1
        return valid * to_device(known, self.device)

    def embed(self, slices: SliceStack, ids: Ids, *, pool: bool = True) -> Tensor:
        """Describe slices by the feature maps of the network, see `albench.encoder_decoder.embedding_of`.

        Args:
            ids: at least one.
            pool: average over the valid area; otherwise flatten.

        Returns:
            (n, d) float32 features in the order of `ids`, on the device; d is the number of channels of the maps, times
            their area if flattened.

        Raises:
            NetworkError: the network offers no such maps.
        """
        embedding = embedding_of(self.network)

        def forward(_: Ids, batch: Images) -> tuple[Tensor]:
            features = embedding(batch.images).float()
            if not pool:
                return (features.flatten(1),)
            share = interpolate(batch.valid, features.shape[-2:], mode="area")
            return ((features * share).sum((2, 3)) / share.sum((2, 3)),)

        return concat_batches(self.stream(slices, ids, forward), len(ids))[0]

    def embed_gradients(self, slices: SliceStack, ids: Ids) -> Tensor:
        """Describe slices by a gradient of the last layer, for the labels that it predicts (`LastLayer`).

        Args:
            ids: at least one.

        Returns:
            (n, d) float32 gradients in the order of `ids`, on the device; d is the number of weights of the layer.

        Raises:
            NetworkError: the network has no layer with weights.
        """
        last = LastLayer(self.network)

        def forward(some: Ids, batch: Images) -> tuple[Tensor]:
            return (last.gradients(batch.images, self.scored(slices, some, batch.valid[:, 0])),)

        return concat_batches(self.stream(slices, ids, forward), len(ids))[0]

    def stream(
        self, slices: SliceStack, ids: Ids, forward: Callable[[Ids, Images], T], *, channels: int = 1
    ) -> Iterator[T]:
        """Apply `forward` to ids (b,) and their images batch by batch, in evaluation mode and without gradients.

        Args:
            channels: of probabilities, if `forward` makes several samples of them; batches are then smaller, so that
                samples of many classes need little more memory than those of a few.

        Yields:
            The results of `forward`. No reference to them is kept, so that consumers such as `map` release a batch
            before the next one is computed.
        """
        return self._stream(slices, self.split(ids, channels), forward)

    def _stream(self, slices: SliceStack, batches: Sequence[Ids], forward: Callable[[Ids, Images], T]) -> Iterator[T]:
        modules, autocast = tuple(self.network.modules()), self.autocast()

        def apply(some: Ids, place: Place) -> T:
            with eval_mode(*modules), torch.no_grad(), autocast:
                return forward(some, self.images(slices, some, place))

        def results() -> Iterator[T]:
            # Autocast keeps the weights that it converted until its outermost context ends: this one outlasts batches
            torch.clear_autocast_cache()
            with torch.autocast(self.device.type, enabled=False):
                yield from map(apply, batches, self.places(slices, batches))

        return results()

    def split(self, ids: Ids, channels: int = 1) -> Sequence[Ids]:
        """Batches of slices without gradients, on a GPU nearly equal ones: it waits for the launches of a small one.

        Args:
            ids: (n,).
            channels: as in `stream`.
        """
        size = max(1, self.inference_batch // -(-channels // _CHANNELS))
        if self.device.type == "cpu" or not len(ids):
            return list(batched(ids, size))
        return np.array_split(ids, -(-len(ids) // size))

    def places(self, slices: SliceStack, batches: Iterable[Ids]) -> Iterator[Place]:
        """Where the slices of batches are, on the device."""
        return starmap(Place, sent_ahead((Place.of(slices, ids) for ids in batches), self.device))

    def images(self, slices: SliceStack, ids: Ids, place: Place | None = None) -> Images:
        """Read slices and their valid pixels to the device, and count them in `slices_read`.

        Args:
            slices: the stack.
            ids: (b,) of its slices.
            place: theirs on the device, if it has been sent there already.
        """
        self.slices_read += len(ids)
        place = place or next(self.places(slices, [ids]))
        images = self._device_cache.batch(slices, ids, place.rows).to(torch.float32, memory_format=self._memory_format)
        inside = (self._positions < place.sizes[..., None]).float()
        height, width = images.shape[-2:]
        return Images(images, inside[:, :1, :height, None] * inside[:, 1:, None, :width])

    def autocast(self) -> torch.autocast:
        """A context in which the network computes in bfloat16 on a GPU, and in float32 on a CPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Put modules in evaluation mode for a block, and restore the mode of each afterwards.

    Submodules are not included: of a whole network pass `*network.modules()`.
    """
    modes = [module.training for module in modules]
    for module in modules:
        if module.training:
            module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            if module.training != mode:  # setting an attribute of a module costs far more than reading it
                module.training = mode
