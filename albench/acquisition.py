"""The mathematics of asking: pure functions on tensors and arrays.

Pixels first (how uncertain is a prediction), then slices (from pixels to one score), then sets (which slices together).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from albench.masks import Ids

Aggregation = Literal["mean", "sum", "top"]
Scores = NDArray[np.float64]


def binary_entropy(probs: Tensor) -> Tensor:
    """Entropy in nats of a Bernoulli distribution, `-p ln p - (1-p) ln(1-p)`, 0 at 0 and 1. Any shape."""
    return torch.special.entr(probs) + torch.special.entr(1 - probs)


def margin(probs: Tensor) -> Tensor:
    """Gap between the probabilities of the two classes, `|2p - 1|`. Any shape."""
    return (2 * probs - 1).abs()


def bald(probs: Tensor) -> Tensor:
    """Mutual information in nats of prediction and weights, `H(mean p) - mean H(p)`, at least 0.

    Houlsby et al., arXiv:1112.5745, Eq. 2; Gal, Islam and Ghahramani, ICML 2017.

    Args:
        probs: (t, ...) foreground probabilities of t dropout samples; the result has the other dimensions.
    """
    return (binary_entropy(probs.mean(0)) - binary_entropy(probs).mean(0)).clamp_min(0)


def weighted_jsd(probs: Tensor, alpha: float) -> Tensor:
    """Weighted Jensen-Shannon divergence in nats of n predictions, `alpha H(mean p) - (1 - alpha) mean H(p)`.

    Gaillochet et al., DALI 2022. With alpha 0.5 it is half the Jensen-Shannon divergence, 0 where all agree; more
    adds `(2 alpha - 1) H(mean p)`, which is 0 only where all agree and are certain.

    Args:
        probs: (n, ...) foreground probabilities; the result has the other dimensions.
    """
    return alpha * binary_entropy(probs.mean(0)) - (1 - alpha) * binary_entropy(probs).mean(0)


def foreground(probs: Tensor, valid: Tensor) -> NDArray[np.uint8]:
    """(b, h, w) masks: probability at least 0.5, nothing in the padding."""
    return ((probs >= 0.5) & (valid > 0)).cpu().numpy().astype(np.uint8)


def mean_over_valid(values: Tensor, valid: Tensor) -> Tensor:
    """(n,) mean of (n, h, w) values over the pixels where `valid` (n, h, w) is 1."""
    return (values * valid).sum((1, 2)) / valid.sum((1, 2))


def aggregate(values: Tensor, valid: Tensor, how: Aggregation, top: float) -> Tensor:
    """One score per slice from its pixels.

    Args:
        values: (n, h, w) pixel scores.
        valid: (n, h, w), 1 on pixels that count, at least one per slice.
        how: `mean` or `sum` over the valid pixels, or `top`: the mean of the highest of them.
        top: share of the valid pixels that `top` takes, rounded up to whole pixels.
    """
    if how == "mean":
        return mean_over_valid(values, valid)
    if how == "sum":
        return (values * valid).sum((1, 2))
    counts = (valid.sum((1, 2)) * top).ceil().long().clamp_min(1)
    ranked = values.masked_fill(valid == 0, -torch.inf).flatten(1).topk(int(counts.max())).values
    taken = torch.arange(ranked.shape[1], device=values.device) < counts[:, None]
    return ranked.masked_fill(~taken, 0).sum(1) / counts


def highest(scores: Scores, ids: Ids, count: int) -> Ids:
    """The `count` ids with the highest scores, highest first; among equals the lower id comes first."""
    return ids[np.lexsort((ids, -scores))][:count]


def k_center(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """Greedy k-center: `count` times, take the candidate that is farthest from its nearest center, as a new center.

    Sener and Savarese, ICLR 2018, Algorithm 1; the covering radius is at most twice the smallest possible. Distances
    are Euclidean, in float64; among equals the first candidate is taken. Only the running minimum is kept:
    O((centers + count) candidates d) time and O(candidates d) memory.

    Args:
        candidates: (n, d), more than `count` or as many.
        centers: (m, d), at least one.

    Returns:
        (count,) rows of `candidates`, in the order of choice.
    """
    shift = candidates.double().mean(0)  # smaller norms lose fewer digits in |a|^2 + |b|^2 - 2ab
    points, fixed = candidates.double() - shift, centers.double() - shift
    norms = points.square().sum(1)
    nearest = torch.full_like(norms, torch.inf)
    for block in fixed.split(_BLOCK):
        nearest = torch.minimum(nearest, (block.square().sum(1) - 2 * points @ block.T).amin(1))
    nearest = (nearest + norms).clamp_min_(0)
    chosen: list[int] = []
    for _ in range(count):
        row = int((nearest == nearest.max()).nonzero()[0])
        chosen.append(row)
        distance = norms + norms[row] - 2 * points @ points[row]
        nearest = torch.minimum(nearest, distance.clamp_min_(0))
        nearest[chosen] = -1
    return torch.tensor(chosen, dtype=torch.long)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(n, m) cosines, at least 0, of the rows of (n, d) and (m, d); 0 with a row of zeros."""
    unit_first, unit_second = (
        rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny) for rows in (first, second)
    )
    return (unit_first @ unit_second.T).clamp_min(0)


def quantize(images: Tensor, bins: int) -> Tensor:
    """(n, p) uint8 bins of (n, p) intensities: equal widths between each row's lowest and highest value.

    As numpy.histogram does, the highest value belongs to the last bin. All values of a constant row are in bin 0.
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
    histograms = _histograms_by_product if first.is_cuda else _histograms_by_count
    return torch.stack([_information(joint) for joint in histograms(first, second, bins)])


def min_max(values: Tensor) -> Tensor:
    """(n,) values brought to [0, 1]; all 0 if they are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def representative(density: Tensor, redundancy: Tensor, count: int, weight: float) -> Tensor:
    """Greedy choice of a set S of candidates that stands for the pool and differs from what is labeled.

    In every step the candidate c with the highest `minmax(D(S + c)) - weight minmax(M(S + c))` joins, where
    `D(S) = sum_u max_{s in S} density[s, u]` (facility location) and `M(S) = sum_l max_{s in S} redundancy[s, l]`.
    Li et al., IJCARS 2024. Among equals the first candidate is taken.

    Args:
        density: (n, u) similarity of candidates to unlabeled slices, at least 0.
        redundancy: (n, l) similarity of candidates to labeled slices, at least 0.
        count: how many to choose, at most n.

    Returns:
        (count,) rows, in the order of choice.
    """
    left = torch.ones(len(density), dtype=torch.bool, device=density.device)
    covered_u, covered_l = torch.zeros_like(density[0]), torch.zeros_like(redundancy[0])
    chosen: list[int] = []
    for _ in range(count):
        rows = left.nonzero()[:, 0]
        reach = torch.maximum(density, covered_u).sum(1)[rows]
        overlap = torch.maximum(redundancy, covered_l).sum(1)[rows]
        score = min_max(reach) - weight * min_max(overlap)
        row = int(rows[(score == score.max()).nonzero()[0, 0]])
        chosen.append(row)
        left[row] = False
        covered_u = torch.maximum(covered_u, density[row])
        covered_l = torch.maximum(covered_l, redundancy[row])
    return torch.tensor(chosen, dtype=torch.long)


_BLOCK = 1024  # rows of a product held at once


def _histograms_by_count(first: Tensor, second: Tensor, bins: int) -> Iterator[Tensor]:
    """For each of (n, p) images the (m, bins, bins) joint histograms with (m, p) others, by counting integers."""
    count, cells = len(second), bins * bins
    codes = second.long() + (torch.arange(count, device=second.device) * cells)[:, None]
    for image in first:
        joint = torch.bincount((codes + image.long() * bins).flatten(), minlength=count * cells)
        yield joint.view(count, bins, bins)


def _histograms_by_product(first: Tensor, second: Tensor, bins: int) -> Iterator[Tensor]:
    """The same as products of indicator matrices, which a GPU is faster at; exact, since float32 counts to 2^24."""
    others = one_hot(second.long(), bins).float()
    for image in first:
        yield one_hot(image.long(), bins).float().T @ others


def _information(joint: Tensor) -> Tensor:
    """(m,) mutual information in nats from (m, bins, bins) counts."""
    probs = joint.double() / joint[0].sum()
    expected = probs.sum(2, keepdim=True) * probs.sum(1, keepdim=True)
    ratio = torch.where(probs > 0, probs / expected.clamp_min(torch.finfo(torch.float64).tiny), 1.0)
    return (probs * ratio.log()).sum((1, 2)).clamp_min(0)
