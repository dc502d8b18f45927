"""BADGE [1]: slices whose gradients are large and differ, drawn by the seeding of k-means++.

Batch active learning by diverse gradient embeddings. The embedding of a slice is the gradient that its loss would have
with respect to the weights W of the last layer if its labels were those that the network predicts: `g = d/dW mean_i
CE(p_i, argmax p_i)` over its pixels i. For a last convolution of 1 x 1 whose inputs are features z_i, the block of
class c is `mean_i (p_ic - [c = argmax p_i]) z_i`. Its norm is large where the prediction is uncertain, and its
direction says in which features and between which classes. The slice with the largest norm is the first. Each further
one is drawn with probability proportional to the squared distance of its embedding to the nearest one so far [2]. The
draws come from the random stream of the round.

Differences from the paper: [1] has one label per image; here the loss is the mean over the pixels that count in a
score, so that slices of different sizes are comparable. The last layer is the convolution or linear layer that the
network calls last. If it is larger than 1 x 1, the gradient has a block for each of its positions; what comes after it,
such as interpolation to the size of the slice, is part of the loss. A network of one class has a sigmoid, and so one
block in place of two opposite ones, whose norms and distances are used. [1] names k-means++, whose first point is drawn
uniformly; that with the largest norm is taken as in the authors' code.

When it fails: gradients are of predicted labels, so they are small where the network is certain and wrong. Those of an
early network say little, and slices with long contours have large ones. The time of a query grows with the budget times
the slices of the pool.

[1] Ash, Zhang, Krishnamurthy, Langford and Agarwal. Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds. ICLR 2020.
[2] Arthur and Vassilvitskii. k-means++: The Advantages of Careful Seeding. SODA 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from albench.covering import k_means_plus_plus
from albench.encoder_decoder import Part
from albench.errors import StrategyError
from albench.strategy import Query, Round, Strategy, register
from albench.training.device import to_device


@register("badge")
@dataclass(frozen=True)
class BADGE(Strategy):
    """Draws slices with large gradients that differ. Scores are the norms of the gradients."""

    kind = "hybrid"
    paper = "Ash et al. 2020"

    def parts(self) -> tuple[Part, ...]:
        """A last layer, for the gradients."""
        return ("last layer",)

    def ranks_by_score(self) -> bool:
        """No: it also compares slices with each other."""
        return False

    def predictions_per_slice(self) -> float:
        """One, of which the gradient is taken."""
        return 1.0

    def query(self, ctx: Round) -> Query:
        """Query slices drawn by the distances of their gradients."""
        gradients = ctx.learner.embed_gradients(ctx.pool.slices, ctx.pool.unlabeled)
        norms = torch.linalg.vector_norm(gradients, dim=1, dtype=torch.float64).cpu().numpy()
        if not np.isfinite(norms).all():
            raise StrategyError("gradients of the last layer must be finite, some are not: lower training.lr")
        draws = to_device(ctx.rng.random(ctx.budget - 1), gradients.device)
        rows = k_means_plus_plus(gradients, draws)
        return Query(ctx.pool.unlabeled[rows.numpy()], scores=norms)
