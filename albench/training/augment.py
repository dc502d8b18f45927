"""Augmentation of batches on their device: blur, flips and rotations, with the same geometry for image and mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from albench.training.device import to_device

_BLUR_SIGMA = 1.1  # of a kernel of k = 5 taps, by OpenCV's rule 0.3 ((k - 1) / 2 - 1) + 0.8


def augment(images: Tensor, masks: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Blur (5 x 5), flip (horizontally, vertically or both) and rotate (-90 to 90 degrees), each with probability 0.5.

    Images are interpolated linearly, masks by nearest neighbor. Pixels from outside the image are not valid.
    Random numbers come from torch's global CPU generator, so they are the same on every device.

    Args:
        images: (b, c, h, w).
        masks: (b, m, h, w).
        valid: (b, 1, h, w), 1 on image pixels and 0 on padding.

    Returns:
        Images, masks and valid pixels, transformed alike.
    """
    from monai.networks.layers.simplelayers import separable_filtering  # importing MONAI takes seconds

    batch = len(images)
    blur = torch.rand(batch) < 0.5
    flip = torch.rand(batch) < 0.5
    axes = torch.randint(3, (batch,))
    rotate = torch.rand(batch) < 0.5
    angles = (torch.rand(batch) - 0.5) * math.pi * rotate
    flip_x = torch.where(flip & (axes != 1), -1.0, 1.0)
    flip_y = torch.where(flip & (axes != 0), -1.0, 1.0)

    with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse for intensities and coordinates
        if blur.any():
            # Row indices, because indexing by a mask would make the CPU wait for the device
            chosen = to_device(blur.nonzero()[:, 0], images.device)
            images = images.clone()
            images[chosen] = separable_filtering(images[chosen], [_kernel(images.device)] * 2, mode="reflect")
        matrices = to_device(_matrices(angles, flip_x, flip_y, images.shape[-2:]), images.device)
        grid = affine_grid(matrices, list(images.shape), align_corners=False)
        moved = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        labels = grid_sample(torch.cat([masks, valid], 1), grid, mode="nearest", align_corners=False)
    return moved, labels[:, :-1], labels[:, -1:]


def _matrices(angles: Tensor, flip_x: Tensor, flip_y: Tensor, size: torch.Size) -> Tensor:
    """(b, 2, 3) affine maps from output to input positions in torch's [-1, 1] coordinates.

    Rotations keep the proportions in pixels on images that are not square.
    """
    height, width = size
    cos, sin = torch.cos(angles), torch.sin(angles)
    zero = torch.zeros_like(cos)
    return torch.stack(
        [
            torch.stack([flip_x * cos, -flip_x * sin * height / width, zero], 1),
            torch.stack([flip_y * sin * width / height, flip_y * cos, zero], 1),
        ],
        1,
    )


def _kernel(device: torch.device) -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=device) / _BLUR_SIGMA) ** 2)
    return taps / taps.sum()
