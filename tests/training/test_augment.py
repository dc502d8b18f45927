import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from albench.training.augment import _matrices, augment, draw_moves


def drawn(images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, masks and valid pixels, augmented."""
    return augment(images, masks, torch.ones_like(images), draw_moves(len(images), images.shape[2:]))


def shape_batch(height: int, width: int, count: int = 64) -> torch.Tensor:
    """An L, which no flip or rotation maps to itself."""
    image = torch.zeros(count, 1, height, width)
    image[:, :, height // 4 : 3 * height // 4, width // 3 : width // 2] = 1
    image[:, :, height // 2 : 3 * height // 4, width // 3 : 2 * width // 3] = 1
    return image


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_image_and_mask_move_together(size):
    torch.manual_seed(0)
    image = shape_batch(*size)
    moved, mask, _ = drawn(image, image)
    both = ((moved > 0.5) & (mask > 0.5)).sum((1, 2, 3))
    dice = 2 * both / ((moved > 0.5).sum((1, 2, 3)) + (mask > 0.5).sum((1, 2, 3)))
    assert dice.min() > 0.9
    assert (mask != image).any((1, 2, 3)).float().mean() > 0.5


def test_rotation_by_90_degrees_is_exact_and_matches_scipy():
    image = shape_batch(32, 32, 1)
    angle, one = torch.tensor([np.pi / 2]), torch.ones(1)
    grid = torch.nn.functional.affine_grid(
        _matrices(angle, one, one, image.shape[-2:]), [1, 1, 32, 32], align_corners=False
    )
    turned = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(turned, np.rot90(image[0, 0].numpy(), 1), atol=1e-5)


def test_rotation_keeps_proportions_on_a_slice_that_is_not_square():
    image = shape_batch(48, 80, 1)
    angle, one = torch.tensor([np.pi / 6]), torch.ones(1)
    matrix = _matrices(angle, one, one, image.shape[-2:])
    grid = torch.nn.functional.affine_grid(matrix, [1, 1, 48, 80], align_corners=False)
    turned = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0, 0].numpy()
    expected = rotate(image[0, 0].numpy(), 30, reshape=False, order=1)
    assert np.abs(turned - expected).mean() < 0.01


def test_pixels_from_outside_the_image_are_not_valid():
    torch.manual_seed(1)
    image = torch.rand(64, 1, 32, 32)
    _, _, valid = drawn(image, image.round())
    assert set(valid.unique().tolist()) == {0.0, 1.0}
    corner = valid[:, 0, 0, 0]
    assert 0.2 < (corner == 0).float().mean() < 0.8


def test_one_slice_in_eight_is_unchanged():
    torch.manual_seed(2)
    noise = torch.randn(400, 1, 16, 16)
    moved, _, _ = drawn(noise, noise.round())
    unchanged = torch.isclose(moved, noise, atol=1e-4).all(3).all(2).all(1).float().mean()
    assert 0.07 < unchanged < 0.19


def test_blur_lowers_the_noise_of_half_of_the_slices():
    torch.manual_seed(3)
    noise = torch.randn(400, 1, 32, 32)
    blurred = drawn(noise, noise)[0].std((1, 2, 3)) < 0.5
    assert 0.4 < blurred.float().mean() < 0.6


def test_augmentation_is_float32_where_the_network_is_bfloat16():
    images, masks = torch.rand(8, 1, 32, 32), (torch.rand(8, 1, 32, 32) > 0.5).float()
    torch.manual_seed(0)
    expected = drawn(images, masks)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = drawn(images, masks)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
