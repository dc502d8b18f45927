"""The mathematics of asking: pure functions on tensors and arrays.

Pixels first (how uncertain is a prediction), then slices (from pixels to one score), then sets (which slices together).
"""

from __future__ import annotations

import math
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
    """Entropy in nats of a Bernoulli distribution, `-p ln p - (1-p) ln(1-p)`, 0 at 0 and 1. Any shape.

    Its gradient is finite everywhere. That of `torch.special.entr` is infinite at 0, which a sigmoid turns into NaN.
    """
    rest, tiny = 1 - probs, torch.finfo(probs.dtype).tiny
    return -(probs * probs.clamp_min(tiny).log() + rest * rest.clamp_min(tiny).log())


def margin(probs: Tensor) -> Tensor:
    """Gap between the probabilities of the two classes, `|2p - 1|`. Any shape."""
    return (2 * probs - 1).abs()


def variance(probs: Tensor, correction: int) -> Tensor:
    """Variance over the first dimension of (t, ...), the sum of squares divided by `t - correction`.

    In two passes over the samples, which a CPU does in a tenth of the time of `Tensor.var` along that dimension.
    """
    return (probs - probs.mean(0)).square_().sum(0) / (len(probs) - correction)


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


def binarize(probs: Tensor, valid: Tensor) -> NDArray[np.uint8]:
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


def top_k(scores: Scores, ids: Ids, count: int) -> Ids:
    """The `count` ids with the highest scores, highest first; among equals the lower id comes first."""
    return ids[np.lexsort((ids, -scores))][:count]


def k_center(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """Greedy k-center: `count` times, take the candidate that is farthest from its nearest center, as a new center.

    Sener and Savarese, ICLR 2018, Algorithm 1; the covering radius is at most twice the smallest possible. Distances
    are Euclidean; among equals the first candidate is taken.

    The picks are those of float64, at little of its cost: a candidate's distance to its nearest center only falls as
    centers are added, so an old distance is an upper bound, and only candidates that lead by their bound are measured
    (lazily, as Minoux's accelerated greedy algorithm does). The first bounds are float32 distances plus all that
    rounding can have taken from them. O(centers n d) time in float32, O(n) memory beside the arguments.

    Args:
        candidates: (n, d), more than `count` or as many.
        centers: (m, d), at least one.

    Returns:
        (count,) rows of `candidates`, in the order of choice.
    """
    shift = candidates.mean(0, dtype=torch.float64)  # smaller norms lose fewer digits in |a|^2 + |b|^2 - 2ab
    bound = torch.cat([_upper_bounds(part, centers, shift) for part in candidates.split(_BLOCK)])
    known = len(centers)
    fixed = torch.cat([centers.double() - shift, shift.new_empty(count, len(shift))])
    checked = torch.zeros(len(bound), dtype=torch.long, device=bound.device)  # against so many of `fixed`
    chosen: list[int] = []
    for _ in range(count):
        while True:
            leading = bound == bound.max()
            if not (leading & (checked < known)).any():
                break
            lead = bound.masked_fill(checked == known, -torch.inf).topk(min(_LEADERS, len(bound)))
            rows = lead.indices[lead.values > -torch.inf]
            for part in (rows[checked[rows] == 0], rows[checked[rows] > 0]):
                if len(part):
                    since = int(checked[part].min())
                    nearest = _nearest(candidates[part].double() - shift, fixed[since:known])
                    bound[part] = torch.minimum(bound[part], nearest) if since else nearest
                    checked[part] = known
        row = int(leading.nonzero()[0])
        chosen.append(row)
        fixed[known] = candidates[row].double() - shift
        known += 1
        bound[row] = -1
        checked[row] = len(fixed) + 1  # never again
    return torch.tensor(chosen, dtype=torch.long)


def _nearest(points: Tensor, centers: Tensor) -> Tensor:
    """(n,) squared distances of (n, d) points to the nearest of (m, d) centers."""
    squares = centers.square().sum(1) - 2 * points @ centers.T
    return (squares.amin(1) + points.square().sum(1)).clamp_min_(0)


def _upper_bounds(points: Tensor, centers: Tensor, shift: Tensor) -> Tensor:
    """(n,) float64, at least the squared distances of (n, d) points to the nearest of (m, d) centers, from float32.

    The relative error of a float32 dot product over d terms is at most about d 2^-24 of the product of the norms
    (Higham, Accuracy and Stability of Numerical Algorithms, Sec. 3.1); a few more operations come before and after.
    """
    near, far = (part.double().sub(shift).float() for part in (points, centers))
    norms, reach = near.double().square().sum(1), far.double().square().sum(1)
    nearest = (reach.float() - 2 * near @ far.T).amin(1).double() + norms
    error = (points.shape[1] + 16) * 2.0**-24 * (norms.sqrt() + reach.max().sqrt()).square()
    return torch.nan_to_num(nearest + error, nan=torch.inf, posinf=torch.inf)


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
    pixels = first.shape[1]
    table = _counts_times_log(pixels, first.device)
    own, others = (
        torch.stack([table.take(torch.bincount(image)).sum() for image in images]) for images in (first, second)
    )
    histograms = _histograms_by_product if first.is_cuda else _histograms_by_count
    found = torch.empty(len(first), len(second), dtype=torch.float64, device=first.device)
    for rows, columns, joint in histograms(first, second, bins):
        found[rows, columns] = table.take(joint).sum((1, 2))
    return ((found - own[:, None] - others + table[-1]) / pixels).clamp_min_(0)


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
        reach, overlap = _covered_with(density, covered_u)[rows], _covered_with(redundancy, covered_l)[rows]
        score = min_max(reach) - weight * min_max(overlap)
        row = int(rows[(score == score.max()).nonzero()[0, 0]])
        chosen.append(row)
        left[row] = False
        covered_u = torch.maximum(covered_u, density[row])
        covered_l = torch.maximum(covered_l, redundancy[row])
    return torch.tensor(chosen, dtype=torch.long)


def _covered_with(similarity: Tensor, covered: Tensor) -> Tensor:
    """(n,) float64: how much is covered if one of n rows (n, m) of similarities joins what covers (m,) already."""
    parts = similarity.tensor_split(-(-len(similarity) // _ROWS))
    return torch.cat([torch.maximum(rows, covered).sum(1, dtype=torch.float64) for rows in parts])


_BLOCK = 1024  # rows of a product held at once
_ROWS = 16  # of similarities compared at once
_LEADERS = 64  # candidates measured at once
_COUNTED = 64  # images counted at once: their histograms and bins stay in the caches

_Joint = tuple[int, slice, Tensor]  # row of `first`, rows of `second`, (m, bins, bins) counts


def _histograms_by_count(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """Joint histograms of each of (n, p) images with (m, p) others, by counting integers, some of the others a time."""
    cells = bins * bins
    for start in range(0, len(second), _COUNTED):
        part = second[start : start + _COUNTED].int()
        codes = part + (torch.arange(len(part), dtype=torch.int32) * cells)[:, None]
        for row, image in enumerate(first):
            joint = torch.bincount((codes + image.int() * bins).flatten(), minlength=len(part) * cells)
            yield row, slice(start, start + len(part)), joint.view(-1, bins, bins)


def _histograms_by_product(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """The same as products of indicator matrices, which a GPU is faster at; exact, since float32 counts to 2^24."""
    others = one_hot(second.long(), bins).float()
    for row, image in enumerate(first):
        yield row, slice(0, len(second)), (one_hot(image.long(), bins).float().T @ others).long()


def _counts_times_log(highest_count: int, device: torch.device) -> Tensor:
    """(highest + 1,) `n ln n`, rounded so that sums over all pixels are exact, whatever their order.

    With N pixels, joint counts n and the two images' own counts a and b, the mutual information is
    `(N ln N + sum n ln n - sum a ln a - sum b ln b) / N`: 0 for a constant image to the last bit.
    """
    counts = torch.arange(highest_count + 1, dtype=torch.float64, device=device)
    values = torch.special.xlogy(counts, counts)
    unit = 2.0 ** (math.frexp(float(values[-1]))[1] - 50)
    return (values / unit).round() * unit
