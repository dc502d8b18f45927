"""K-Center Greedy, or Core-Set [1]: cover the pool, so that no unlabeled slice is far from a labeled one.

Again and again the slice that is farthest from its nearest labeled slice is taken; its distances count from then on.
The distance is Euclidean between embeddings of the current encoder's bottleneck.

Differences from the paper: [1] embeds images by a classifier's last fully connected layer, which a segmentation network
lacks; here it is the bottleneck (r4), averaged over the valid area (`embedding=pooled`) or whole (`flat`; all slices
then share one padded size). The greedy algorithm is used, as by the baselines of STAR, not the mixed integer program.

[1] Sener and Savarese. Active Learning for Convolutional Neural Networks: A Core-Set Approach. ICLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from albench.acquisition import k_center
from albench.errors import StrategyError
from albench.strategy import Query, Round, Strategy, register


@register("k-center")
@dataclass(frozen=True)
class KCenter(Strategy):
    """Smallest covering radius.

    Attributes:
        embedding: `pooled` averages the bottleneck over the slice, `flat` keeps it whole (more memory).
    """

    kind = "diversity"
    paper = "Sener and Savarese 2018"

    embedding: Literal["pooled", "flat"] = "pooled"

    def query(self, ctx: Round) -> Query:
        """Ask for the slices that cover the rest."""
        pool = ctx.pool
        features = ctx.learner.embed(pool.slices, np.arange(len(pool.slices)), pool=self.embedding == "pooled")
        if not torch.isfinite(features).all():
            raise StrategyError("embeddings must be finite, some are not: lower training.lr")
        rows = k_center(features[pool.unlabeled], features[pool.labeled], ctx.budget)
        return Query(pool.unlabeled[rows.numpy()])
