"""Augmentation of batches on their device: blur, flips and rotations, with the same geometry for image and mask."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_BLUR_SIGMA = 1.1  # of a kernel of k = 5 taps, by OpenCV's rule 0.3 ((k - 1) / 2 - 1) + 0.8


class Moves(NamedTuple):
    """What is done to each of b slices.

    Attributes:
        blurred: (m,) int64 positions in the batch of the slices that are blurred; positions, because a mask as an index
            would make the CPU wait for the device.
        matrices: (b, 2, 3) affine maps from output to input positions in torch's [-1, 1] coordinates.
    """

    blurred: Tensor
    matrices: Tensor

    def repeated(self, times: int) -> Moves:
        """For a batch that is so many times as long: the same again for every repetition."""
        starts = torch.arange(times)[:, None] * len(self.matrices)
        return Moves((starts + self.blurred).flatten(), self.matrices.repeat(times, 1, 1))


def draw_moves(count: int, size: tuple[int, int]) -> Moves:
    """Draw those of so many slices of (height, width), on the CPU.

    Blur (5 x 5), flip (horizontally, vertically or both) and rotate (-90 to 90 degrees), each with probability 0.5.
    Random numbers come from torch's global CPU generator, so they are the same for every device.
    """
    blur = torch.rand(count) < 0.5
    flip = torch.rand(count) < 0.5
    axes = torch.randint(3, (count,))
    rotate = torch.rand(count) < 0.5
    angles = (torch.rand(count) - 0.5) * math.pi * rotate
    flip_x = torch.where(flip & (axes != 1), -1.0, 1.0)
    flip_y = torch.where(flip & (axes != 0), -1.0, 1.0)
    return Moves(blur.nonzero()[:, 0], _matrices(angles, flip_x, flip_y, size))


def augment(images: Tensor, masks: Tensor, valid: Tensor, moves: Moves) -> tuple[Tensor, Tensor, Tensor]:
    """Blur images, and flip and rotate images, masks and valid pixels alike.

    Images are interpolated linearly, masks by nearest neighbor. Pixels from outside the image are not valid.

    Args:
        images: (b, c, h, w).
        masks: (b, m, h, w).
        valid: (b, 1, h, w), 1 on image pixels and 0 on padding.
        moves: of these slices, on their device.

    Returns:
        Images, masks and valid pixels.
    """
    from monai.networks.layers.simplelayers import separable_filtering  # importing MONAI takes seconds

    with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse for intensities and coordinates
        if len(moves.blurred):
            images = images.clone()
            images[moves.blurred] = separable_filtering(
                images[moves.blurred], [_kernel(images.device)] * 2, mode="reflect"
            )
        grid = affine_grid(moves.matrices, list(images.shape), align_corners=False)
        moved = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        labels = grid_sample(torch.cat([masks, valid], 1), grid, mode="nearest", align_corners=False)
    return moved, labels[:, :-1], labels[:, -1:]


def _matrices(angles: Tensor, flip_x: Tensor, flip_y: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, 2, 3) affine maps of rotations and flips, which keep the proportions in pixels on images of any shape."""
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


@cache
def _kernel(device: torch.device) -> Tensor:
    """(5,) weights of the blur along an axis."""
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=device) / _BLUR_SIGMA) ** 2)
    return taps / taps.sum()
