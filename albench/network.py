"""The interface of a network: a frozen dataclass whose fields are its options, with one method that builds it.

What its module may offer beside logits is in `albench.encoder_decoder`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from albench.encoder_decoder import encoder_of, in_words
from albench.errors import AlbenchError, NetworkError
from albench.machine_errors import translate_machine_errors
from albench.probabilities import outputs_for
from albench.registry import NETWORKS, Plugin, register

__all__ = ["Network", "Task", "register"]


@dataclass(frozen=True)
class Task:
    """What a network is built for.

    Attributes:
        channels: number of image channels.
        size: height and width of a slice in pixels, multiples of 16.
        network: the chosen network with its options.
        classes: number of classes besides the background.
        spacing: height and width of a pixel in millimeters, the median of the training cases.
    """

    channels: int
    size: tuple[int, int]
    network: Network
    classes: int = 1
    spacing: tuple[float, float] = (1.0, 1.0)

    @property
    def outputs(self) -> int:
        """Channels of the logits, see `albench.probabilities`."""
        return outputs_for(self.classes)

    def build(self) -> nn.Module:
        """The chosen network, with initial weights from torch's global generator."""
        module = self.network.build(self)
        if self.network.embedding_layer and not hasattr(module, "embedding_layer"):
            module.embedding_layer = self.network.embedding_layer  # type: ignore[assignment]
        return module

    def build_encoder(self) -> nn.Module:
        """Another encoder like that of the chosen network. Raises NetworkError if that does not offer its encoder."""
        return self.network.build_encoder(self)


@dataclass(frozen=True)
class Network(Plugin, ABC):
    """A network: options and how to build it. `albench list networks` shows `paper`, its source."""

    group: ClassVar[str] = NETWORKS
    paper: ClassVar[str] = ""
    files: ClassVar[tuple[str, ...]] = ()
    """Options that name a file, whose content and not its path is part of the identity of a run."""
    embedding_layer: ClassVar[str] = ""
    """The layer that describes a slice, as in `named_modules()`, for a module without a method `embedding`."""

    @abstractmethod
    def build(self, task: Task) -> nn.Module:
        """A module that maps images (b, c, h, w) to logits (b, task.outputs, h, w).

        Initial weights come from torch's global generator, which is seeded. In evaluation mode the logits of a slice
        must not depend on the other slices of its batch.
        """

    def build_encoder(self, task: Task) -> nn.Module:
        """A second encoder, for strategies that need one; by default that of another such network."""
        return encoder_of(self.build(task)).encoder


def unlike_logits(output: object, task: Task, count: int) -> str | None:
    """What a network gave for `count` slices instead of their (count, outputs, h, w) logits; None if it gave these."""
    expected = (count, task.outputs, *task.size)
    if isinstance(output, Tensor) and output.shape == expected:
        return None
    return f"{in_words(output)}, not logits of shape {expected}"


def check_logits(module: nn.Module, task: Task) -> None:
    """Run a network on two black slices in evaluation mode.

    Raises:
        NetworkError: it fails, or does not give their logits.
    """
    images = torch.zeros(2, task.channels, *task.size)
    remedy = "correct its build, and try it with albench check-network"
    try:
        with translate_machine_errors(), torch.no_grad():
            output = module.eval()(images)
    except AlbenchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise NetworkError(
            f"a network must accept images of shape {tuple(images.shape)}, it raised {reason}: {remedy}"
        ) from error
    found = unlike_logits(output, task, len(images))
    if found:
        raise NetworkError(f"a network must give a logit for every class and pixel, it gave {found}: {remedy}")
