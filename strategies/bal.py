"""BAL [1]: uncertain slices that represent the unlabeled pool and differ from the labeled slices.

1. Uncertainty: the variance of a pixel's probability over dropout samples, averaged over the pixels where it is at
   least `threshold`. The `candidates` most uncertain slices are kept.
2. Density of a set S of candidates, over the unlabeled slices u: `D(S) = sum_u max_{s in S} cos(s, u)`.
3. Redundancy of S, over the labeled slices l: `M(S) = sum_l max_{s in S} MI(s, l)`, where MI is the mutual information
   of the joint intensity histogram of two slices.

S is built greedily: each step adds the slice with the highest `minmax(D) - weight minmax(M)`.

Differences from the paper: [1] queries volumes; here slices are queried, as the authors' code intends. [1] clips raw
intensities to a fixed window; here normalized intensities are clipped to 3 standard deviations. Images are compared at
`resize` x `resize` pixels of their valid area (with `resize=null` at full resolution, which requires slices of equal
size). The baseline in the authors' code of STAR computes both terms over the labeled slices and therefore favors slices
that resemble them; this variant is not offered.

When it fails: the variance of a pixel is highest at the contours of large objects, so small ones are passed over.
Images are compared by their intensities alone, and the two terms are scaled anew in every step, so `weight` means
another thing in every pool. Time grows with candidates times slices of the pool.

[1] Li et al. Hybrid representation-enhanced sampling for Bayesian active learning in musculoskeletal segmentation of
lower extremities. IJCARS 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from albench.acquisition import cosine, representative, top_k, variance
from albench.encoder_decoder import Part
from albench.errors import StrategyError
from albench.mutual_information import mutual_information, quantize
from albench.strategy import Ids, Query, Round, Strategy, register
from albench.training.batches import batched
from albench.training.device import to_device

_BATCH = 64  # slices whose images are in memory at once


@register("bal")
@dataclass(frozen=True)
class BAL(Strategy):
    """Selects uncertain, representative and novel slices.

    Attributes:
        passes: dropout samples per slice.
        threshold: lowest variance of a pixel that counts towards the uncertainty of its slice.
        candidates: number of most uncertain slices to select from; None takes ten times the budget.
        weight: weight of redundancy relative to density.
        bins: intensity bins of the joint histograms.
        resize: height and width in pixels at which images are compared; None keeps their resolution.
    """

    kind = "hybrid"
    needs = "MC passes"
    paper = "Li et al. 2024"

    passes: Annotated[int, Field(ge=2)] = 10
    threshold: Annotated[float, Field(ge=0)] = 1e-3
    candidates: Annotated[int, Field(ge=1)] | None = None
    weight: Annotated[float, Field(ge=0)] = 0.5
    bins: Annotated[int, Field(ge=2, le=256)] = 20
    resize: Annotated[int, Field(ge=2)] | None = 64

    def parts(self) -> tuple[Part, ...]:
        """Dropout, for the samples."""
        return ("dropout",)

    def ranks_by_score(self) -> bool:
        """No: it also compares slices with each other."""
        return False

    def predictions_per_slice(self) -> float:
        """One for every dropout sample."""
        return self.passes

    def query(self, ctx: Round) -> Query:
        """Select greedily among the most uncertain slices."""
        pool = ctx.pool
        if not self.resize and len(np.unique(pool.slices.valid, axis=0)) > 1:
            raise StrategyError("strategy.resize=null needs slices of equal size, these differ: set strategy.resize=64")
        uncertainty = ctx.score_mc(self.passes, _variance, self._mean_above_threshold)
        size = max(self.candidates or 10 * ctx.budget, ctx.budget)
        # in ascending order, so that every step breaks ties by the lower id
        candidates = np.sort(top_k(uncertainty, pool.unlabeled, size))
        images = self._images(ctx, candidates)
        unit, levels = _unit(images), quantize(images, self.bins)

        def similarity(part: Tensor) -> Tensor:
            return cosine(unit, _unit(part))

        def information(part: Tensor) -> Tensor:
            return mutual_information(levels, quantize(part, self.bins), self.bins)

        density = self._compare(pool.unlabeled, ctx, similarity, len(images), torch.float32)
        redundancy = self._compare(pool.labeled, ctx, information, len(images), torch.float64)
        rows = representative(density, redundancy, ctx.budget, self.weight)
        return Query(candidates[rows.numpy()], scores=uncertainty)

    def _mean_above_threshold(self, values: Tensor, valid: Tensor) -> Tensor:
        counted = valid * (values >= self.threshold)
        return (values * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)

    def _compare(
        self, ids: Ids, ctx: Round, measure: Callable[[Tensor], Tensor], count: int, dtype: torch.dtype
    ) -> Tensor:
        """(count, n) values of `measure` of all candidates and each slice, written in place to save memory."""
        found = torch.empty(count, len(ids), dtype=dtype, device=ctx.learner.device)
        start = 0
        for part in batched(ids, _BATCH):
            found[:, start : start + len(part)] = measure(self._images(ctx, part))
            start += len(part)
        return found

    def _images(self, ctx: Round, ids: Ids) -> Tensor:
        """(n, c p) float32 intensities of the valid areas of slices, resampled to the same p pixels, on the device."""
        slices, device = ctx.pool.slices, ctx.learner.device
        size = (self.resize, self.resize) if self.resize else tuple(slices.valid[ids[0]].tolist())
        if device.type == "cuda":  # all slices at once, from the images that are there already
            images = ctx.learner.images(slices, ids).images[:, : slices.shape[0]]
            by_y, by_x = (
                _averages(slices.valid[ids, axis], size[axis], slices.shape[1 + axis], device) for axis in (0, 1)
            )
            return (by_y @ images @ by_x.transpose(2, 3)).flatten(1)
        found = torch.empty(len(ids), slices.shape[0], *size)
        for row, (height, width) in enumerate(slices.valid[ids]):
            image = torch.from_numpy(slices.read(ids[[row]])[:, :, :height, :width]).float()
            found[row] = interpolate(image, size, mode="area")[0]
        return found.flatten(1)


def _averages(lengths: Ids, size: int, longest: int, device: torch.device) -> Tensor:
    """(n, 1, size, longest) weights that average the first elements of an axis to `size` ones, as mode="area" does.

    Args:
        lengths: (n,) how many elements.
        size: how many averages.
        longest: length of the axis.
        device: of the weights.
    """
    different, rows = np.unique(lengths, return_inverse=True)
    begin = np.arange(size) * different[:, None] // size
    end = -(-(np.arange(size) + 1) * different[:, None] // size)
    position = np.arange(longest)
    inside = (position >= begin[..., None]) & (position < end[..., None])
    weights = (inside / (end - begin)[..., None]).astype(np.float32)
    return to_device(weights, device)[to_device(rows, device)][:, None]


def _variance(probs: Tensor) -> Tensor:
    """Unbiased variance over samples of the probabilities of a pixel."""
    return variance(probs, 1)


def _unit(images: Tensor) -> Tensor:
    """Normalized intensities clipped to 3 standard deviations, in [0, 1]."""
    return images.clamp(-3, 3) / 6 + 0.5
