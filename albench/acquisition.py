"""The mathematics of query strategies, as pure functions on tensors and arrays.

First pixels (uncertainty of a prediction; its form is that of `albench.probabilities`), then slices (aggregation to
one score), then sets (selection of a batch).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from albench.masks import Ids
from albench.probabilities import CLASSES, by_class, classes_of, predicted

Aggregation = Literal["mean", "sum", "top"]
PseudoSelection = Literal["any", "nonempty", "balanced"]
Scores = NDArray[np.float64]


def entropy(probs: Tensor) -> Tensor:
    """(..., h, w) entropy in nats of the distribution over the classes and the background, `-sum_c p_c ln p_c`.

    Its gradient is finite everywhere. That of `torch.special.entr` is infinite at 0, which gives NaN after a sigmoid.
    """
    tiny = torch.finfo(probs.dtype).tiny
    return -reduce(torch.add, (part * part.clamp_min(tiny).log() for part in by_class(probs)))


def margin(probs: Tensor) -> Tensor:
    """(..., h, w) difference between the highest and the second highest probability, `|2p - 1|` for one class."""
    if probs.shape[CLASSES] == 1:
        return (2 * probs.select(CLASSES, 0) - 1).abs()
    first, second = probs.topk(2, CLASSES).values.unbind(CLASSES)
    return first - second


def variance(probs: Tensor, correction: int) -> Tensor:
    """(..., h, w) variance over the samples (t, ..., k, h, w), the sum of squares divided by `t - correction`.

    Of several classes, half of the sum over all classes and the background; of one class, that of its probability,
    which is the same. Two passes over the samples take a tenth of the time of `Tensor.var` along this dimension on a
    CPU.
    """
    each = (probs - probs.mean(0)).square_().sum(0) / (len(probs) - correction)
    return each.select(CLASSES, 0) if each.shape[CLASSES] == 1 else each.sum(CLASSES) / 2


def bald(probs: Tensor) -> Tensor:
    """(..., h, w) mutual information in nats between prediction and weights, `H(mean p) - mean H(p)`, at least 0.

    Houlsby et al., arXiv:1112.5745, Eq. 2; Gal, Islam and Ghahramani, ICML 2017.

    Args:
        probs: (t, ..., k, h, w) of t dropout samples.
    """
    return (entropy(probs.mean(0)) - entropy(probs).mean(0)).clamp_min(0)


def weighted_jsd(probs: Tensor, alpha: float) -> Tensor:
    """(..., h, w) weighted Jensen-Shannon divergence in nats, `alpha H(mean p) - (1 - alpha) mean H(p)`.

    Gaillochet et al., DALI 2022. With alpha = 0.5 it is half the Jensen-Shannon divergence, which is 0 where all
    predictions agree. A larger alpha adds `(2 alpha - 1) H(mean p)`, which is 0 only where the mean is certain.

    Args:
        probs: (n, ..., k, h, w) of n predictions.
    """
    return alpha * entropy(probs.mean(0)) - (1 - alpha) * entropy(probs).mean(0)


def balance_classes(probs: Tensor, valid: Tensor) -> Tensor:
    """(b, h, w) weights of pixels with which a mean over pixels is the mean over classes of the mean over their pixels.

    The class of a pixel is the predicted one, the background included; so a small class counts as much as a large one.

    Args:
        probs: (b, k, h, w), or (t, b, k, h, w) of t samples, whose mean predicts.
        valid: (b, h, w), 1 on pixels that count and 0 elsewhere.
    """
    labels = predicted(probs if probs.ndim == 4 else probs.mean(0))
    weights = torch.zeros_like(valid)
    for label in range(classes_of(probs) + 1):
        own = valid * (labels == label)
        weights += own / own.sum((1, 2), keepdim=True).clamp_min(1)
    return weights


def mean_over_valid(values: Tensor, valid: Tensor) -> Tensor:
    """(n,) mean of (n, h, w) values over the pixels where `valid` (n, h, w) is 1, or weighted by it."""
    return (values * valid).sum((1, 2)) / valid.sum((1, 2))


def aggregate(values: Tensor, valid: Tensor, how: Aggregation, top: float) -> Tensor:
    """(n,) scores of slices from scores of their pixels.

    Args:
        values: (n, h, w) pixel scores.
        valid: (n, h, w), 1 on image pixels and 0 on padding; at least one 1 per slice.
        how: `mean` or `sum` over the valid pixels, or `top`, the mean of the highest ones.
        top: share of the valid pixels that `top` averages, rounded up to whole pixels.
    """
    if how == "mean":
        return mean_over_valid(values, valid)
    if how == "sum":
        return (values * valid).sum((1, 2))
    counts = (valid.sum((1, 2)) * top).ceil().long().clamp_min(1)
    ranked = values.masked_fill(valid == 0, -torch.inf).flatten(1).topk(int(counts.max())).values
    taken = torch.arange(ranked.shape[1], device=values.device) < counts[:, None]
    return ranked.masked_fill(~taken, 0).sum(1) / counts


def pseudo_selection(*, exclude_empty: bool, balanced: bool) -> PseudoSelection:
    """What two options of a strategy select for pseudo-labels. Raises ValueError if both are set."""
    if exclude_empty and balanced:
        raise ValueError("exclude_empty and balanced exclude each other")
    return "nonempty" if exclude_empty else "balanced" if balanced else "any"


def most_certain(ids: Ids, nonempty: NDArray[np.bool_], count: int, keep: PseudoSelection) -> Ids:
    """The first ids of a ranking, for pseudo-labels.

    Args:
        ids: (n,) the most certain first.
        nonempty: (n,) whether foreground is predicted.
        count: how many at most.
        keep: `any`; only `nonempty` ones; or `balanced`, as many nonempty ones as empty ones, up to half of `count`
            each.

    Returns:
        (m,) ids in the order of the ranking.
    """
    if keep == "balanced":
        each = min(count // 2, int(nonempty.sum()), int((~nonempty).sum()))
        first = (nonempty & (nonempty.cumsum() <= each)) | (~nonempty & ((~nonempty).cumsum() <= each))
        return ids[first]
    return (ids[nonempty] if keep == "nonempty" else ids)[:count]


def top_k(scores: Scores, ids: Ids, count: int) -> Ids:
    """The `count` ids with the highest scores, in descending order; ties are broken by the lower id."""
    return ids[np.lexsort((ids, -scores))][:count]


def k_center(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """Greedy k-center: `count` times, make the candidate that is farthest from its nearest center a new center.

    Sener and Savarese, ICLR 2018, Algorithm 1; the covering radius is at most twice the optimum. Distances are
    Euclidean; ties are broken by the lower row.

    The result equals that of float64 distances, at a fraction of their cost. Distances to the nearest center can only
    decrease as centers are added, so an earlier distance is an upper bound, and only the candidates with the highest
    bounds are evaluated exactly (lazy evaluation, as in Minoux's accelerated greedy algorithm). The initial bounds are
    float32 distances plus a bound of their rounding error. O(m n d) time in float32, O(n) extra memory.

    Args:
        candidates: (n, d), n at least `count`.
        centers: (m, d), at least one.

    Returns:
        (count,) rows of `candidates`, in the order of selection.
    """
    shift = candidates.mean(0, dtype=torch.float64)  # |a|^2 + |b|^2 - 2ab loses fewer digits with smaller norms
    bound = torch.cat([_upper_bounds(part, centers, shift) for part in candidates.split(_BLOCK)])
    known = len(centers)
    fixed = torch.cat([centers.double() - shift, shift.new_empty(count, len(shift))])
    checked = torch.zeros(len(bound), dtype=torch.long, device=bound.device)  # centers in each bound
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
        checked[row] = len(fixed) + 1  # never evaluated again
    return torch.tensor(chosen, dtype=torch.long)


def _nearest(points: Tensor, centers: Tensor) -> Tensor:
    """(n,) squared distances of (n, d) points to the nearest of (m, d) centers."""
    squares = centers.square().sum(1) - 2 * points @ centers.T
    return (squares.amin(1) + points.square().sum(1)).clamp_min_(0)


def _upper_bounds(points: Tensor, centers: Tensor, shift: Tensor) -> Tensor:
    """(n,) upper bounds in float64 of the squared distances of (n, d) points to the nearest of (m, d) centers.

    They are computed from float32 products. The error of a float32 dot product over d terms is at most about d 2^-24
    times the product of the norms (Higham, Accuracy and Stability of Numerical Algorithms, Sec. 3.1). 16 is added to d
    for the operations before and after.
    """
    near, far = (part.double().sub(shift).float() for part in (points, centers))
    norms, reach = near.double().square().sum(1), far.double().square().sum(1)
    nearest = (reach.float() - 2 * near @ far.T).amin(1).double() + norms
    error = (points.shape[1] + 16) * 2.0**-24 * (norms.sqrt() + reach.max().sqrt()).square()
    return torch.nan_to_num(nearest + error, nan=torch.inf, posinf=torch.inf)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(n, m) cosine similarities of the rows of (n, d) and (m, d), at least 0; rows of zeros give 0."""
    unit_first, unit_second = (
        rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny) for rows in (first, second)
    )
    return (unit_first @ unit_second.T).clamp_min(0)


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
    own, others = (
        torch.stack([table.take(torch.bincount(image)).sum() for image in images]) for images in (first, second)
    )
    histograms = _histograms_by_product if first.is_cuda else _histograms_by_count
    found = torch.empty(len(first), len(second), dtype=torch.float64, device=first.device)
    for rows, columns, joint in histograms(first, second, bins):
        found[rows, columns] = table.take(joint).sum((1, 2))
    return ((found - own[:, None] - others + table[-1]) / pixels).clamp_min_(0)


def min_max(values: Tensor) -> Tensor:
    """(n,) values scaled linearly to [0, 1]; all 0 if they are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def representative(density: Tensor, redundancy: Tensor, count: int, weight: float) -> Tensor:
    """Greedily select a set S of candidates that represents the unlabeled slices and differs from the labeled ones.

    Each step adds the candidate c with the highest `minmax(D(S + c)) - weight minmax(M(S + c))`, where
    `D(S) = sum_u max_{s in S} density[s, u]` (facility location) and `M(S) = sum_l max_{s in S} redundancy[s, l]`.
    Li et al., IJCARS 2024. Ties are broken by the lower row.

    Args:
        density: (n, u) similarity of candidates to unlabeled slices, at least 0.
        redundancy: (n, l) similarity of candidates to labeled slices, at least 0.
        count: how many to select, at most n.

    Returns:
        (count,) rows, in the order of selection.
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
    """(n,) float64 sums over m of the larger of (n, m) similarities and (m,) `covered`, the maxima so far."""
    parts = similarity.tensor_split(-(-len(similarity) // _ROWS))
    return torch.cat([torch.maximum(rows, covered).sum(1, dtype=torch.float64) for rows in parts])


_BLOCK = 1024  # rows of a matrix product computed at once
_ROWS = 16  # rows of similarities compared at once
_LEADERS = 64  # candidates evaluated at once
_COUNTED = 64  # images counted at once, so few that their histograms and bins stay in the CPU's caches

_Joint = tuple[int, slice, Tensor]  # row of `first`, rows of `second`, (m, bins, bins) counts


def _histograms_by_count(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """Joint histograms of (n, p) with (m, p) images by counting, of one of the first and some of the second at once."""
    cells = bins * bins
    for start in range(0, len(second), _COUNTED):
        part = second[start : start + _COUNTED].int()
        codes = part + (torch.arange(len(part), dtype=torch.int32) * cells)[:, None]
        for row, image in enumerate(first):
            joint = torch.bincount((codes + image.int() * bins).flatten(), minlength=len(part) * cells)
            yield row, slice(start, start + len(part)), joint.view(-1, bins, bins)


def _histograms_by_product(first: Tensor, second: Tensor, bins: int) -> Iterator[_Joint]:
    """The same by products of indicator matrices, faster on a GPU; exact, as float32 holds integers up to 2^24."""
    others = one_hot(second.long(), bins).float()
    for row, image in enumerate(first):
        yield row, slice(0, len(second)), (one_hot(image.long(), bins).float().T @ others).long()


def _counts_times_log(highest_count: int, device: torch.device) -> Tensor:
    """(highest + 1,) values of `n ln n`, rounded so that sums over all pixels are exact in any order.

    With N pixels, joint counts n and marginal counts a and b, the mutual information is
    `(N ln N + sum n ln n - sum a ln a - sum b ln b) / N`, which is exactly 0 for a constant image.
    """
    counts = torch.arange(highest_count + 1, dtype=torch.float64, device=device)
    values = torch.special.xlogy(counts, counts)
    unit = 2.0 ** (math.frexp(float(values[-1]))[1] - 50)
    return (values / unit).round() * unit
