"""The weight of an unlabeled loss in units of the supervised loss that its paper used.

A weight is a ratio of two losses. If a method is compared with another supervised loss than its paper's, its weight is
right only after a conversion: it is multiplied by how much smaller the gradient of the loss used here is than that of
the loss of the paper, both of the same batch and at the same weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from albench.training.batches import Batch

LossOfLogits = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function of logits, masks and valid pixels."""


def gradient_ratio(network: nn.Module, batch: Batch, loss: LossOfLogits, reference: LossOfLogits) -> float:
    """The norm of the gradient of `loss` divided by that of `reference`, both over all weights of the network.

    The network is in training mode; its weights and running statistics are left as they were. Dropout draws from
    torch's global generator.

    Args:
        network: maps (b, c, h, w) images to (b, 1, h, w) logits.
        batch: labeled slices.
        loss: the supervised loss here.
        reference: the supervised loss of the paper.

    Returns:
        The ratio, 0 where the gradient of `reference` is 0.
    """
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    training = network.training
    network.train()
    logits = network(batch.images)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    norms = []
    for function in (loss, reference):
        value = function(logits, batch.masks, batch.valid)
        gradients = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        norms.append(torch.stack([g.float().square().sum() for g in gradients if g is not None]).sum().sqrt())
    network.train(training)
    for name, value in network.named_buffers():
        value.copy_(buffers[name])
    found, wanted = torch.stack(norms).tolist()
    return found / wanted if wanted > 0 else 0.0
