import numpy as np
import pytest
import torch

from albench.errors import ConfigError
from albench.network import Task
from albench.networks.residual import Residual, Segmenter


def segmenter(channels: int = 1, **options: object) -> Segmenter:
    return Residual(**options).build(Task(channels, (64, 64), Residual()))  # type: ignore[arg-type]


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_papers_network_has_18_57_million_parameters():
    network = segmenter()
    assert round(parameters(network.decoder) / 1e6, 2) == 10.03
    assert round(parameters(network) / 1e6, 2) == 18.57


@pytest.mark.parametrize("size", [240, 512])
def test_features_have_the_papers_shapes(size):
    with torch.device("meta"):
        features = segmenter().encode(torch.empty(1, 1, size, size))
    for feature, channels, shrink in zip(
        (features.deepest, *features.skips), (1024, 512, 256), (16, 8, 4), strict=True
    ):
        assert feature.shape == (1, channels, size // shrink, size // shrink)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("stem_stride", [1, 2, 4])
@pytest.mark.parametrize("upsample", ["bilinear", "nearest"])
def test_logits_have_the_size_of_the_image(backbone, stem_stride, upsample):
    network = segmenter(3, backbone=backbone, stem_stride=stem_stride, upsample=upsample, width=0.25, decoder_width=8)
    images = torch.randn(2, 3, 48, 64)
    assert network(images).shape == (2, 1, 48, 64)
    assert network.encode(images).deepest.shape[-2:] == (12 // stem_stride, 16 // stem_stride)


def test_dropout_acts_on_the_bottleneck_in_training_only():
    network = segmenter(backbone="resnet18", width=0.25, decoder_width=8)
    features = network.eval().prepare(network.encode(torch.randn(2, 1, 64, 64)))
    assert torch.equal(network.decode(features, torch.Size((64, 64))), network.decode(features, torch.Size((64, 64))))
    network.dropout.train()
    assert not torch.equal(
        network.decode(features, torch.Size((64, 64))), network.decode(features, torch.Size((64, 64)))
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_a_torchvision_checkpoint_gives_a_gray_image_the_features_of_the_same_image_in_color(tmp_path, channels):
    torch.manual_seed(0)
    colored = segmenter(3, backbone="resnet18").encoder.eval()
    checkpoint = {**colored.state_dict(), "fc.weight": torch.zeros(10, 512)}
    torch.save(checkpoint, tmp_path / "resnet18.pth")
    gray = segmenter(channels, backbone="resnet18", weights=str(tmp_path / "resnet18.pth")).encoder.eval()
    image = torch.randn(1, 1, 64, 64)
    expected = colored(image.repeat(1, 3, 1, 1))
    found = gray(image.repeat(1, channels, 1, 1))
    for ours, theirs in zip((found.deepest, *found.skips), (expected.deepest, *expected.skips), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_keys_are_those_of_torchvision():
    keys = set(segmenter().encoder.state_dict())
    published = {"conv1.weight", "bn1.running_mean", "layer1.0.conv3.weight", "layer1.0.downsample.0.weight"}
    published |= {"layer1.0.downsample.1.bias", "layer3.5.bn3.weight", "layer2.0.conv2.weight"}
    assert published <= keys
    assert not any(key.startswith(("layer4", "fc")) or key.endswith("downsample.0.bias") for key in keys)


def test_a_checkpoint_that_does_not_fit_is_an_error(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(ConfigError, match=r"checkpoint of width 1, '.*weights.pth' does not exist: name an existing"):
        segmenter(backbone="resnet18", weights=str(path))
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="cannot be read as a checkpoint: download it again"):
        segmenter(backbone="resnet18", weights=str(path))
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(ConfigError, match=r"lacks 'bn1.weight': name a checkpoint of resnet18"):
        segmenter(backbone="resnet18", weights=str(path))
    torch.save(segmenter(3, backbone="resnet18", width=0.5).encoder.state_dict(), path)
    with pytest.raises(ConfigError, match=r"'conv1.weight' has shape \(32, 1, 7, 7\)"):
        segmenter(backbone="resnet18", weights=str(path))


def test_the_same_seed_gives_the_same_weights():
    first, second = ({}, {})
    for state in (first, second):
        torch.manual_seed(3)
        state.update(segmenter(backbone="resnet18", width=0.25).state_dict())
    assert all(np.array_equal(first[key], second[key]) for key in first)
