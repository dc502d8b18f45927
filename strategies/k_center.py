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

from albench.covering import k_center
from albench.strategy import Query, Round, SliceEmbedding, register


@register("k-center")
@dataclass(frozen=True)
class KCenter(SliceEmbedding):
    """Selects slices that minimize the covering radius.

    Attributes:
        embedding: `pooled` averages the bottleneck over the valid area, `flat` flattens it, which takes more memory; of
            no effect with `embeddings`.
    """

    kind = "diversity"
    paper = "Sener and Savarese 2018"

    embedding: Literal["pooled", "flat"] = "pooled"

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """One, unless a file has the embeddings."""
        return 1.0 if self.embeddings is None else 0.0

    def query(self, ctx: Round) -> Query:
        """Query the slices that cover the others."""
        pool = ctx.pool
        features = self.embed(ctx, pool=self.embedding == "pooled")
        rows = k_center(features[pool.unlabeled], features[pool.labeled], ctx.budget)
        return Query(pool.unlabeled[rows.numpy()])
