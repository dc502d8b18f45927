"""Samples of a network's prediction with dropout, all else in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from albench.encoder_decoder import Features, Splits, dropouts_of


class DropoutSampler:
    """Draws samples of the logits, each with a dropout mask of its own for every slice.

    What comes before dropout is computed once for all samples if the network can be split there: if it is derived from
    `Splits`, and nothing is dropped in `encode`. Otherwise every sample runs the whole network.

    Args:
        network: in evaluation mode whenever samples are drawn.

    Raises:
        NetworkError: the network has no module that drops anything.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._dropouts = dropouts_of(network)
        self._drops_early: bool | None = None

    def __call__(self, images: Tensor) -> Callable[[], Tensor]:
        """A function that gives another (b, outputs, h, w) sample of the logits of (b, c, h, w) images at each call.

        It leaves the dropout modules of the network in training mode.
        """
        network, features = self.network, None
        if isinstance(network, Splits) and not self._drops_early:
            features = self._encode(network, images)
        for module in self._dropouts:
            module.train()
        if features is None or not isinstance(network, Splits):
            return lambda: network(images)
        return partial(network.decode, features, images.shape[-2:])

    def _encode(self, network: Splits, images: Tensor) -> Features | None:
        """Prepared features; None if there is dropout on the way to them, which the first call finds out."""
        called: list[nn.Module] = []
        hooks = [module.register_forward_pre_hook(lambda one, _: called.append(one)) for module in self._dropouts]
        features = network.prepare(network.encode(images))
        for hook in hooks:
            hook.remove()
        self._drops_early = bool(called)
        return None if called else features
