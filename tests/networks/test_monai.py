"""The networks from MONAI: equal to the originals, and what is added to them."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from monai.networks.nets import DynUNet as MonaiDynUNet
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from torch import nn

from albench.errors import ConfigError
from albench.network import Task
from albench.networks.dynunet import DynUNet, plan
from albench.networks.swin_unetr import SwinUNETR
from albench.networks.unet import UNet


def task(size=(48, 64), classes: int = 1, channels: int = 1, spacing=(1.0, 1.0)) -> Task:
    return Task(channels, size, UNet(), classes, spacing)


def seeded(make):
    torch.manual_seed(3)
    return make().eval()


def test_with_five_levels_the_unet_is_monais():
    ours = seeded(lambda: UNet().build(task(classes=2, channels=3)))
    theirs = BasicUNet(2, 3, 3, features=(32, 32, 64, 128, 256, 32), dropout=0.1).eval()
    down = ["conv_0", "down_1", "down_2", "down_3", "down_4"]
    up = ["upcat_4", "upcat_3", "upcat_2", "upcat_1"]
    for name, part in zip([*down, *up, "final_conv"], [*ours.encoder.blocks, *ours.up, ours.head], strict=True):
        getattr(theirs, name).load_state_dict(part.state_dict())
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_the_dynunet_is_monais_with_the_plan():
    strides, kernels = plan((48, 64), (1.0, 1.0))
    ours = seeded(lambda: DynUNet(channels=4).build(task()))
    theirs = seeded(
        lambda: MonaiDynUNet(2, 1, 1, kernels, strides, strides[1:], filters=[4 * 2**i for i in range(len(strides))])
    )
    parts = [theirs.input_block, *theirs.downsamples, theirs.bottleneck, *theirs.upsamples, theirs.output_block]
    for part, own in zip(parts, [*ours.encoder.blocks, *ours.up, ours.head], strict=True):
        part.load_state_dict({name.replace(".dropout", ""): value for name, value in own.state_dict().items()})
    images = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def nnunet(spacing, size, smallest=4):
    """`get_pool_and_conv_props` of nnU-Net v2 for 2D, without padding."""
    spacing, size = list(spacing), list(size)
    strides, kernels, kernel = [[1, 1]], [], [1, 1]
    while True:
        valid = [i for i in range(2) if size[i] >= 2 * smallest]
        if len(valid) < 1:
            break
        least = min(spacing[i] for i in valid)
        valid = [i for i in valid if spacing[i] / least < 2]
        if len(valid) == 1 and not size[valid[0]] >= 3 * smallest:
            break
        for d in range(2):
            if kernel[d] != 3 and spacing[d] / min(spacing) < 2:
                kernel[d] = 3
        stride = [1, 1]
        for axis in valid:
            stride[axis] = 2
            spacing[axis] *= 2
            size[axis] = -(-size[axis] // 2)
        strides.append(stride)
        kernels.append(list(kernel))
    return strides, [*kernels, [3, 3]]


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (256, 128), (128, 512), (64, 48), (320, 256)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 0.9), (1.0, 2.0), (3.0, 0.8), (0.5, 4.0)])
def test_the_plan_is_nnunets_where_no_axis_becomes_odd(size, spacing):
    strides, kernels = nnunet(spacing, size)
    found = plan(size, spacing)
    assert [list(axes) for axes in found.strides] == strides
    assert [list(axes) for axes in found.kernels] == kernels


def test_an_axis_of_odd_length_is_not_halved():
    assert plan((240, 240), (1.0, 1.0)).strides == [(1, 1), (2, 2), (2, 2), (2, 2), (2, 2)]
    assert plan((240, 256), (1.0, 1.0)).strides[-2:] == [(2, 2), (1, 2)]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (8.0, 1.0)])
def test_the_smallest_slice_has_a_plan(spacing):
    logits = seeded(lambda: DynUNet(channels=4).build(task((16, 16), spacing=spacing)))(torch.randn(2, 1, 16, 16))
    assert logits.shape == (2, 1, 16, 16)


def test_the_dynunet_has_twice_as_many_channels_in_each_stage_up_to_the_most_and_drops_no_logit():
    network = DynUNet(channels=8, most_channels=20, dropout=0.3).build(task((64, 64)))
    assert [block.conv1.conv.out_channels for block in network.encoder.blocks] == [8, 16, 20, 20, 20]
    assert {module.p for module in network.head.modules() if isinstance(module, nn.Dropout)} <= {0.0}
    assert {module.p for module in network.encoder.modules() if isinstance(module, nn.Dropout)} == {0.3}


@pytest.mark.parametrize("size", [(64, 96), (48, 80)])
def test_swin_unetr_is_monais_on_slices_padded_with_zeros(size):
    ours = seeded(lambda: SwinUNETR(channels=12).build(task(size)))
    theirs = MonaiSwinUNETR(1, 1, feature_size=12, spatial_dims=2).eval()
    theirs.load_state_dict(ours.whole.state_dict())
    images = torch.randn(2, 1, *size)
    padded = torch.zeros(2, 1, 64, 96)
    padded[..., : size[0], : size[1]] = images
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(padded)[..., : size[0], : size[1]])
        maps = ours.embedding(images)
        deepest = theirs.encoder10(theirs.swinViT(padded, True)[4])
    assert maps.shape == (2, 192, size[0] // 16, size[1] // 16)
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            torch.testing.assert_close(maps[..., y, x], deepest[..., y // 2, x // 2])


def test_slices_that_are_too_small_are_an_error():
    with pytest.raises(ConfigError, match=r"5 levels halve slices of \[16, 16\] pixels 4 times: leave out a level"):
        UNet().build(task((16, 16)))
    with pytest.raises(ConfigError, match=r"a side above 32 pixels, got \[32, 16\]: choose another network"):
        SwinUNETR().build(task((32, 16)))
