"""Gradients of the last layer of a network, one per slice, for hypothetical labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from albench.encoder_decoder import last_layers_of, plain
from albench.errors import NetworkError
from albench.probabilities import activated, predicted

Hook = Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor | None]


class LastLayer:
    """The layer of a network that is called last among those with weights, and gradients of its weights.

    Args:
        network: in evaluation mode whenever it is asked for gradients.

    Raises:
        NetworkError: it has no convolution or linear layer.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._candidates = last_layers_of(network)
        self._layer: nn.Module | None = None

    def gradients(self, images: Tensor, counted: Tensor) -> Tensor:
        """The gradient of the cross-entropy of each slice, if its labels were what the network predicts.

        Ash et al., ICLR 2020, Eq. 1, with the mean over pixels in place of a single label. A network of one class has
        one block of weights where a softmax over background and foreground would have two, whose gradients are
        opposite. It is multiplied by the square root of 2, so that norms and distances are those of both.

        Args:
            images: (b, c, h, w).
            counted: (b, h, w), 1 on pixels whose loss counts and 0 elsewhere.

        Returns:
            (b, d) float32, d the number of weights of the layer.
        """
        if self._layer is None:
            self._layer = self._called_last(images[:1])
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []

        def begin(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
            inputs.append(given[0])
            outputs.append(output.requires_grad_())
            torch.set_grad_enabled(True)  # only from here on, so that nothing is kept of the layers before
            return output.clone()  # the next layer may work in place

        with torch.no_grad():  # restores what the hook sets
            logits = _hooked(self._network, [self._layer], begin, images)
        (gradient,) = torch.autograd.grad(logits, outputs[-1], _error(logits.detach(), counted).to(logits.dtype))
        with torch.autocast(images.device.type, enabled=False):
            return _of_weights(self._layer, inputs[-1].float(), gradient.float())

    def _called_last(self, images: Tensor) -> nn.Module:
        called: list[nn.Module] = []
        _hooked(self._network, self._candidates, lambda layer, given, output: called.append(layer), images)
        if not called:
            raise NetworkError(
                f"gradients need a layer with weights that is called, {type(plain(self._network)).__name__} calls none "
                "of its convolutions and linear layers as modules: call one of them, or choose another network"
            )
        return called[-1]


def _hooked(network: nn.Module, layers: list[nn.Module], hook: Hook, images: Tensor) -> Tensor:
    """The logits of the network, while a hook is told about the layers' outputs and may replace them."""
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        logits: Tensor = network(images)
    finally:
        for handle in handles:
            handle.remove()
    return logits


def _error(logits: Tensor, counted: Tensor) -> Tensor:
    """(b, k, h, w) gradient of the mean cross-entropy of each slice by its logits: `p - onehot(label)` over pixels.

    Of one class, times the square root of 2.
    """
    probs = activated(logits)
    labels, share = predicted(probs)[:, None], (counted / counted.sum((1, 2), keepdim=True))[:, None]
    if probs.shape[1] == 1:
        return math.sqrt(2) * (probs - labels) * share
    return (probs - (labels == torch.arange(probs.shape[1], device=probs.device)[:, None, None]).float()) * share


def _of_weights(layer: nn.Module, inputs: Tensor, gradients: Tensor) -> Tensor:
    """(b, d) gradients by a layer's weights, from its (b, ...) inputs and the gradients by its (b, ...) outputs."""
    weight = layer.get_parameter("weight").detach().float()

    def of_slice(one: Tensor, gradient: Tensor) -> Tensor:
        def loss(weight: Tensor) -> Tensor:
            return (functional_call(layer, {"weight": weight}, (one[None],)) * gradient).sum()

        return grad(loss)(weight).flatten()

    return vmap(of_slice)(inputs, gradients)
