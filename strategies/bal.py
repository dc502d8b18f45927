"""BAL [1]: among the most uncertain slices take those most like the unlabeled pool and least like the labeled slices.

Three steps. Uncertainty: the variance of a pixel's probability over dropout samples, averaged over the pixels where it
reaches `threshold`; the `candidates` most uncertain slices go on. Density: over the unlabeled slices u,
`D(S) = sum_u max_{s in S} cos(s, u)`. Diversity: over the labeled slices l, `M(S) = sum_l max_{s in S} MI(s, l)`, with
the mutual information of a joint intensity histogram. Slices join S greedily, each time the one with the highest
`minmax(D) - weight minmax(M)`.

Differences from the paper: [1] queries volumes, here slices are queried, as its code intends. [1] clips raw intensities
to a fixed window; here the normalized ones are clipped to 3 standard deviations. Images are compared at `resize` x
`resize` pixels of their valid area (`resize=null` for all pixels, which needs slices of one size). STAR's baseline
measures both terms against the labeled slices and so prefers what is labeled already; that variant is not offered.

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

from albench.acquisition import cosine, mutual_information, quantize, representative, top_k, variance
from albench.errors import StrategyError
from albench.strategy import Ids, Pool, Query, Round, Strategy, register
from albench.training.learner import batched

_BATCH = 64  # slices whose images are held at once


@register("bal")
@dataclass(frozen=True)
class BAL(Strategy):
    """Uncertain, dense, and new.

    Attributes:
        passes: dropout samples per slice.
        threshold: a pixel's variance counts towards its slice from here on.
        candidates: how many of the most uncertain slices go on; None takes ten times the budget.
        weight: of diversity against density.
        bins: gray levels of the joint histograms.
        resize: side in pixels at which images are compared; None keeps all pixels.
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

    def query(self, ctx: Round) -> Query:
        """Choose greedily among the most uncertain slices."""
        pool = ctx.pool
        if not self.resize and len(np.unique(pool.slices.valid, axis=0)) > 1:
            raise StrategyError("strategy.resize=null needs slices of one size, these differ: set strategy.resize=64")
        uncertainty = ctx.score_mc(self.passes, _variance, self._mean_above_threshold)
        size = max(self.candidates or 10 * ctx.budget, ctx.budget)
        # among equals the candidate with the lower id comes first, in every step
        candidates = np.sort(top_k(uncertainty, pool.unlabeled, size))
        images = self._images(pool, candidates).to(ctx.learner.device)
        unit, levels = _unit(images), quantize(images, self.bins)

        def alike(part: Tensor) -> Tensor:
            return cosine(unit, _unit(part))

        def shared(part: Tensor) -> Tensor:
            return mutual_information(levels, quantize(part, self.bins), self.bins)

        density = self._compared(pool.unlabeled, ctx, alike, len(images), torch.float32)
        redundancy = self._compared(pool.labeled, ctx, shared, len(images), torch.float64)
        rows = representative(density, redundancy, ctx.budget, self.weight)
        return Query(candidates[rows.numpy()], scores=uncertainty)

    def _mean_above_threshold(self, values: Tensor, valid: Tensor) -> Tensor:
        counted = valid * (values >= self.threshold)
        return (values * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)

    def _compared(
        self, ids: Ids, ctx: Round, alike: Callable[[Tensor], Tensor], count: int, dtype: torch.dtype
    ) -> Tensor:
        """(count, n) similarities of candidates to slices, written in place: there is one copy of them."""
        found = torch.empty(count, len(ids), dtype=dtype, device=ctx.learner.device)
        start = 0
        for part in batched(ids, _BATCH):
            images = self._images(ctx.pool, part).to(ctx.learner.device)
            found[:, start : start + len(part)] = alike(images)
            start += len(part)
        return found

    def _images(self, pool: Pool, ids: Ids) -> Tensor:
        """(n, c p) float32 intensities of slices, their valid area brought to one size."""
        slices = pool.slices
        size = (self.resize, self.resize) if self.resize else tuple(slices.valid[ids[0]].tolist())
        found = torch.empty(len(ids), slices.shape[0], *size)
        for slice_id, image in zip(ids, found, strict=True):
            height, width = slices.valid[slice_id]
            whole = torch.from_numpy(np.array(slices.images[slices.rows[slice_id], :, :height, :width])).float()
            image.copy_(interpolate(whole[None], size, mode="area")[0])
        return found.flatten(1)


def _variance(probs: Tensor) -> Tensor:
    """Unbiased variance over samples; that of the background's probability is the same."""
    return variance(probs, 1)


def _unit(images: Tensor) -> Tensor:
    """Normalized intensities clipped to 3 standard deviations, in [0, 1]."""
    return images.clamp(-3, 3) / 6 + 0.5
