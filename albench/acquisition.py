"""The mathematics of query strategies, as pure functions on tensors and arrays.

First pixels (uncertainty of a prediction; its form is that of `albench.probabilities`), then slices (aggregation to
one score), then sets (selection of a batch). A GPU is never asked for a value before the end, because the CPU would
wait for it.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    area = values[0].numel()
    most = min(area, math.ceil(area * top) + 1) if values.is_cuda else int(counts.max())
    ranked = values.masked_fill(valid == 0, -torch.inf).flatten(1).topk(most).values
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


def log_power(scores: Scores, exponent: float) -> Scores:
    """(n,) `exponent ln(score)`, the log of a power of scores, which are at least 0.

    A score of 0 counts as the smallest positive number, so that slices without any score are drawn last and alike.
    """
    return exponent * np.log(np.maximum(scores, np.finfo(np.float64).tiny))


def log_rank_power(scores: Scores, exponent: float) -> Scores:
    """(n,) `-exponent ln(rank)`, the log of a power of ranks: 1 for the highest score, 2 for the next.

    Of equal scores the first has the higher rank.
    """
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return -exponent * np.log(ranks)


def perturbed(log_weights: Scores, rng: np.random.Generator) -> Scores:
    """(n,) log-weights with Gumbel noise, whose k highest are a weighted sample of k without replacement.

    The Gumbel top-k trick (Kool, van Hoof and Welling, ICML 2019): each is the next one with a probability
    proportional to its weight among those that are left.
    """
    return log_weights + rng.gumbel(size=len(log_weights))


def top_k(scores: Scores, ids: Ids, count: int) -> Ids:
    """The `count` ids with the highest scores, in descending order; ties are broken by the lower id."""
    return ids[np.lexsort((ids, -scores))][:count]


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(n, m) cosine similarities of the rows of (n, d) and (m, d), at least 0; rows of zeros give 0."""
    unit_first, unit_second = (
        rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny) for rows in (first, second)
    )
    return (unit_first @ unit_second.T).clamp_min(0)


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
    chosen = torch.zeros(count, dtype=torch.long, device=density.device)
    for step in range(count):
        reach, overlap = _covered_with(density, covered_u), _covered_with(redundancy, covered_l)
        score = min_max(reach, left) - weight * min_max(overlap, left)
        row = chosen[step : step + 1].copy_(score.masked_fill(~left, -torch.inf).argmax())
        left.index_fill_(0, row, False)
        covered_u, covered_l = (
            torch.maximum(covered, similarity.index_select(0, row)[0])
            for covered, similarity in ((covered_u, density), (covered_l, redundancy))
        )
    return chosen.cpu()


def min_max(values: Tensor, counted: Tensor) -> Tensor:
    """(n,) values scaled linearly, so that those that are counted (n,) are in [0, 1]; all 0 if these are equal."""
    low, high = values.masked_fill(~counted, torch.inf).min(), values.masked_fill(~counted, -torch.inf).max()
    return torch.where(high > low, (values - low) / (high - low), 0)


def _covered_with(similarity: Tensor, covered: Tensor) -> Tensor:
    """(n,) float64 sums over m of the larger of (n, m) similarities and (m,) `covered`, the maxima so far."""
    size = max(_ROWS, _COMPARED // similarity.shape[1]) if similarity.is_cuda else _ROWS
    parts = similarity.tensor_split(-(-len(similarity) // size))
    return torch.cat([torch.maximum(rows, covered).sum(1, dtype=torch.float64) for rows in parts])


_ROWS = 16  # of similarities compared at once on a CPU
_COMPARED = 1 << 26  # similarities compared at once on a GPU
