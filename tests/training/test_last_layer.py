"""Gradients of the last layer against those of plain autograd."""

import numpy as np
import pytest
import torch
from support.learners import CPU, make_learner, padded
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from albench.encoder_decoder import Extended
from albench.errors import NetworkError
from albench.network import Task
from albench.networks.dynunet import DynUNet
from albench.networks.residual import Residual
from albench.networks.swin_unetr import SwinUNETR
from albench.networks.unet import UNet
from albench.training.last_layer import LastLayer
from albench.training.predictor import Predictor

NETWORKS = {
    "decoder.predict": Residual(backbone="resnet18", width=0.125, decoder_width=4),
    "head": UNet(channels=(4, 4, 8)),
    "head.conv.conv": DynUNet(channels=4),
    "whole.out.conv.conv": SwinUNETR(channels=12),
}


def expected(network: nn.Module, layer: nn.Module, images: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The gradients by autograd through the whole network, slice by slice; of one class as long as those of two."""
    rows = []
    for image, mask in zip(images, counted > 0, strict=True):
        logits = network(image[None])[0, :, mask].T
        if logits.shape[1] == 1:
            loss = 2**0.5 * binary_cross_entropy_with_logits(logits, (logits >= 0).float())
        else:
            loss = cross_entropy(logits, logits.argmax(1))
        rows.append(torch.autograd.grad(loss, layer.weight)[0].flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_those_of_autograd_through_the_whole_network(name, classes):
    torch.manual_seed(0)
    network = Task(1, (48, 64), NETWORKS[name], classes).build().eval()
    images, counted = torch.randn(5, 1, 48, 64), torch.ones(5, 48, 64)
    counted[2:, 30:] = 0
    with torch.no_grad():
        found = LastLayer(network).gradients(images, counted)
    torch.testing.assert_close(found, expected(network, network.get_submodule(name), images, counted))


def test_gradients_of_one_pixel_are_worked_by_hand():
    """Features 1 and 2, weights ln 3 and 0: the foreground has probability 3/4, so the error is -1/4, times sqrt 2."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0])[:, None, None, None])
        network[1].weight.copy_(torch.tensor([np.log(3), 0.0])[None, :, None, None])
        found = LastLayer(network).gradients(torch.tensor([1.0, -1.0])[:, None, None, None], torch.ones(2, 1, 1))
    torch.testing.assert_close(found, 2**0.5 * torch.tensor([[-0.25, -0.5], [-0.25, -0.5]]))


def test_a_softmax_over_background_and_foreground_gives_distances_of_a_sigmoid():
    torch.manual_seed(0)
    one, three = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 3, 3, padding=1)
    images, counted = torch.randn(6, 1, 8, 8), torch.ones(6, 8, 8)
    with torch.no_grad():
        three.weight[[0, 2]], three.bias[:] = 0.0, torch.tensor([0.0, float(one.bias), -1e4])
        three.weight[1] = one.weight[0]
        found, expected = (LastLayer(network).gradients(images, counted) for network in (three, one))
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(expected, expected))
    torch.testing.assert_close(found.norm(dim=1), expected.norm(dim=1))


def test_the_last_layer_is_the_one_that_is_called_last_in_the_network_that_all_strategies_train():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.unused, self.first = nn.Conv2d(2, 1, 1), nn.Linear(1, 1), nn.Conv2d(1, 2, 1)

        def forward(self, images):
            return self.last(self.first(images)).mul_(2)  # in place

    class Wider(Extended):
        def __init__(self):
            super().__init__()
            self.plain, self.extra = Reversed(), nn.Conv2d(1, 1, 1)

        def forward(self, images):
            logits = self.plain(images)
            self.extra(logits)
            return logits

    torch.manual_seed(0)
    network, images = Wider(), torch.randn(3, 1, 4, 4)
    with torch.no_grad():
        found = LastLayer(network).gradients(images, torch.ones(3, 4, 4))
    torch.testing.assert_close(found, expected(network, network.plain.last, images, torch.ones(3, 4, 4)))


@pytest.mark.parametrize(
    "layer", [nn.ConvTranspose2d(2, 3, 2, stride=2), nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect")]
)
def test_any_kind_of_last_layer_will_do(layer):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), layer)
    images = torch.randn(3, 1, 4, 4)
    counted = torch.ones(3, *network(images).shape[-2:])
    with torch.no_grad():
        found = LastLayer(network).gradients(images, counted)
    torch.testing.assert_close(found, expected(network, layer, images, counted))


def test_a_network_without_weights_that_are_called_is_refused():
    with pytest.raises(NetworkError, match=r"a convolution or linear layer of torch.nn, Identity has none: choose ano"):
        LastLayer(nn.Identity())

    class Uncalled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, images):
            return images * self.layer.weight.sum()

    with pytest.raises(NetworkError, match=r"that is called, Uncalled calls none of its convolutions and linear"):
        LastLayer(Uncalled()).gradients(torch.zeros(1, 1, 4, 4), torch.ones(1, 4, 4))


def test_a_predictor_embeds_slices_of_different_size_by_their_gradients_and_keeps_nothing():
    learner = make_learner()
    network, slices, ids = learner.network, padded().slices, np.array([5, 0, 6, 2])
    found = learner.embed_gradients(learner.slices, ids)
    counted = torch.zeros(4, 32, 48)
    for row, (height, width) in zip(counted, slices.valid[ids], strict=True):
        row[:height, :width] = 1
    images = torch.from_numpy(slices.images[ids]).float()
    torch.testing.assert_close(found, expected(network.eval(), network.decoder.predict, images, counted))
    assert not found.requires_grad
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.is_grad_enabled()
    alone = Predictor(network, learner.slices, batch_size=1, device=CPU).embed_gradients(learner.slices, ids)
    torch.testing.assert_close(alone, found)
