"""K-Center Greedy, or Core-Set [1]: slices that cover the pool, so that every slice is close to a labeled one.

Each step selects the slice that is farthest from its nearest labeled or already selected slice. The distance is
Euclidean, between features of the current network, or vectors from elsewhere.

Differences from the paper: [1] embeds images by the last fully connected layer of a classifier, which a segmentation
network does not have; here the embedding is the bottleneck, averaged over the valid area (`embedding=pooled`) or
flattened (`flat`, padding included), or a vector that was computed elsewhere (`embeddings`). The greedy algorithm is
used, as in the comparison of STAR, not the mixed integer program of [1].

When it fails: outliers, such as slices with artifacts, are the farthest from all others and are queried first. Features
of an early network, or of another domain, say little about which slices look alike. It does not know what is difficult.

[1] Sener and Savarese. Active Learning for Convolutional Neural Networks: A Core-Set Approach. ICLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from albench.covering import k_center
from albench.strategy import Ids, Pool, Round, VectorSelection, register


@register("k-center")
@dataclass(frozen=True)
class KCenter(VectorSelection):
    """Selects slices that minimize the covering radius.

    Attributes:
        embedding: `pooled` averages the bottleneck over the valid area, `flat` flattens it, which takes more memory; of
            no effect with `embeddings`.
    """

    kind = "diversity"
    paper = "Sener and Savarese 2018"

    embedding: Literal["pooled", "flat"] = "pooled"

    def embed(self, ctx: Round, *, pool: bool = True) -> Tensor:
        """As `SliceEmbedding.embed`, pooled only with `embedding=pooled`."""
        return super().embed(ctx, pool=pool and self.embedding == "pooled")

    def select(self, vectors: Tensor, pool: Pool, count: int, rng: np.random.Generator) -> Ids:
        """Select the slices that cover the others; if none is labeled, the first is drawn at random."""
        drawn = rng.choice(pool.unlabeled, size=int(not len(pool.labeled)), replace=False)
        candidates, centers = np.setdiff1d(pool.unlabeled, drawn), np.concatenate([pool.labeled, drawn])
        rows = k_center(vectors[candidates], vectors[centers], count - len(drawn))
        return np.concatenate([drawn, candidates[rows.numpy()]])
