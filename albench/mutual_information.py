"""Mutual information of images by their joint histograms, in a form for CPUs and one for GPUs, with equal results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor

_COUNTED = 64  # images counted at once, so few that their histograms and bins stay in the CPU's caches
_EXACT = 2048  # highest integer up to which half precision holds all
_CELLS = 1 << 26  # cells of joint histograms in the memory of a GPU at once


def quantize(images: Tensor, bins: int) -> Tensor:
    """(n, p) uint8 bins of (n, p) intensities, of equal width between the lowest and the highest value of each row.

    As in numpy.histogram, the highest value belongs to the last bin. All values of a constant row are in bin 0.
    """
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    width = torch.where(high > low, high - low, 1.0)
    return ((images - low) / width * bins).floor().clamp(0, bins - 1).to(torch.uint8)


def mutual_information(first: Tensor, second: Tensor, bins: int) -> Tensor:
    """(n, m) mutual information in nats of the joint histograms of all pairs of images.

    Args:
        first: (n, p) uint8 bins of n images with p pixels each (see `quantize`).
        second: (m, p) uint8 bins of m images.
    """
    pixels = first.shape[1]
    table = _counts_times_log(pixels, first.device)
    own, others = (table.take(_histogram(images, bins)).sum(1) for images in (first, second))
    histograms = _histograms_by_product if first.is_cuda else _histograms_by_count
    found = torch.empty(len(first), len(second), dtype=torch.float64, device=first.device)
    for rows, columns, joint in histograms(first, second, bins):
        found[rows, columns] = table.take(joint).sum((2, 3))
    return ((found - own[:, None] - others + table[-1]) / pixels).clamp_min_(0)


def _histogram(images: Tensor, bins: int) -> Tensor:
    """(n, bins) counts of (n, p) images. Unlike `torch.bincount`, this does not make the CPU wait for a GPU."""
    counts = torch.zeros(len(images), bins, dtype=torch.long, device=images.device)
    return counts.scatter_add_(1, images.long(), counts.new_ones(()).expand(images.shape))


_Joint = tuple[slice, slice, Tensor]  # n rows of `first`, m rows of `second`, (n, m, bins, bins) counts


def _histograms_by_count(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """Joint histograms of (n, p) with (m, p) images by counting, of one of the first and some of the second at once."""
    cells = bins * bins
    for start in range(0, len(second), _COUNTED):
        part = second[start : start + _COUNTED].int()
        codes = part + (torch.arange(len(part), dtype=torch.int32) * cells)[:, None]
        for row, image in enumerate(first):
            joint = torch.bincount((codes + image.int() * bins).flatten(), minlength=len(part) * cells)
            yield slice(row, row + 1), slice(start, start + len(part)), joint.view(1, -1, bins, bins)


def _histograms_by_product(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """The same by products of indicator matrices, of some of the first and all of the second at once, for a GPU.

    Half precision holds integers up to 2,048 exactly, so that many pixels are multiplied at once.
    """
    levels = torch.arange(bins, dtype=torch.uint8, device=first.device)[:, None]
    left, right = ((images[:, None] == levels).half() for images in (first, second))  # (n, bins, p)
    others = right.flatten(0, 1).T.split(_EXACT)
    size = max(1, _CELLS // (len(second) * bins * bins))
    for start in range(0, len(first), size):
        some = left[start : start + size].flatten(0, 1).split(_EXACT, 1)
        joint = reduce(torch.add, ((a @ b).long() for a, b in zip(some, others, strict=True)))
        yield slice(start, start + size), slice(None), joint.view(-1, bins, len(second), bins).transpose(1, 2)


def _counts_times_log(highest_count: int, device: torch.device) -> Tensor:
    """(highest + 1,) values of `n ln n`, rounded so that sums over all pixels are exact in any order.

    With N pixels, joint counts n and marginal counts a and b, the mutual information is
    `(N ln N + sum n ln n - sum a ln a - sum b ln b) / N`, which is exactly 0 for a constant image.
    """
    counts = torch.arange(highest_count + 1, dtype=torch.float64, device=device)
    values = torch.special.xlogy(counts, counts)
    unit = 2.0 ** (math.frexp(highest_count * math.log(highest_count))[1] - 50)
    return (values / unit).round() * unit
