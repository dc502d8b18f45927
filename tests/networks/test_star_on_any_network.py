"""STAR on networks other than the default one: an encoder of labeled slices, and attention at their bottleneck."""

import copy

import pytest
import torch
from torch import nn

from albench.errors import NetworkError
from albench.network import Network, Task
from albench.networks.dynunet import DynUNet
from albench.networks.unet import UNet
from albench.strategies._star.network import StarNetwork, _first_convolution
from albench.strategies._star.similarity import SIMILARITIES
from albench.training.batches import Batch

SIZE = (48, 64)
NETWORKS = [UNet(channels=(4, 8, 16)), DynUNet(channels=4)]
each_network = pytest.mark.parametrize("options", NETWORKS, ids=lambda options: options.name)


def network(options: Network, classes: int = 1) -> StarNetwork:
    torch.manual_seed(0)
    return StarNetwork(Task(2, SIZE, options, classes), share_kv=False, identity=False).eval()


def labeled(count: int, classes: int) -> Batch:
    images, valid = torch.randn(count, 2, *SIZE), torch.ones(count, 1, *SIZE)
    return Batch(images, torch.randint(classes + 1, valid.shape).float(), valid, valid, lambda *_: torch.zeros(()))


@each_network
def test_the_plain_network_is_built_first_and_gives_the_logits(options):
    whole = network(options)
    torch.manual_seed(0)
    alone = Task(2, SIZE, options).build().eval()
    assert all(torch.equal(whole.plain.state_dict()[name], value) for name, value in alone.state_dict().items())
    images = torch.randn(2, 2, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(whole(images), alone(images))


@each_network
@pytest.mark.parametrize("classes", [1, 2])
def test_the_encoder_of_labeled_slices_is_one_with_the_masks_as_further_channels(options, classes):
    whole, batch = network(options, classes), labeled(2, classes)
    own = whole.labeled_encoder
    wider = copy.deepcopy(own.encoder)
    name, old = next((name, module) for name, module in wider.named_modules() if isinstance(module, nn.Conv2d))
    weights = torch.cat([old.weight, own.mask_stem.weight, own.background_stem.weight], 1)
    new = nn.Conv2d(weights.shape[1], len(weights), 3, padding=1, bias=old.bias is not None)
    new.weight, new.bias = nn.Parameter(weights), old.bias
    parent, _, last = name.rpartition(".")
    setattr(wider.get_submodule(parent), last, new)
    masks = torch.cat([(batch.masks == label).float() for label in range(classes + 1)], 1)
    with torch.no_grad():
        expected = wider(torch.cat([batch.images, masks[:, 1:], masks[:, :1]], 1))
        found = own(batch)
    torch.testing.assert_close(found.deepest, expected.deepest)
    assert not torch.allclose(found.deepest, whole.encode(batch.images).deepest)


@each_network
@pytest.mark.parametrize("classes", [1, 2])
def test_all_of_it_is_trained_by_propagation(options, classes):
    whole, batch = network(options, classes).train(), labeled(3, classes)
    whole.share_encoder()
    logits = whole.propagate(batch.images.flip(0), batch)
    assert logits.shape == (3, 1 if classes == 1 else 3, *SIZE)
    logits.square().mean().backward()
    without = {name for name, weight in whole.named_parameters() if weight.grad is None}
    assert without <= {name for name, _ in whole.named_parameters() if name.startswith("labeled_encoder.encoder")}
    assert whole.labeled_encoder.mask_stem.weight.grad.any()
    assert whole.plain.head.weight.grad.any() if isinstance(options, UNet) else True


@each_network
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_a_slice_is_most_similar_to_itself(options, similarity):
    with torch.no_grad():
        features = network(options).encode(torch.randn(3, 2, *SIZE))
    vectors = SIMILARITIES[similarity](features, torch.ones(3, 1, *SIZE))
    cosines = vectors @ vectors.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(3))
    assert (cosines <= 1 + 1e-5).all()


def test_an_encoder_that_does_not_begin_with_the_image_is_an_error():
    assert _first_convolution(Task(2, SIZE, UNet()).build().encoder, 2)[0] == "blocks.0.conv_0.conv"
    with pytest.raises(NetworkError, match="whose first layer is a convolution of the 2 image channels, this one has"):
        _first_convolution(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(2, 8, 1)), 2)
