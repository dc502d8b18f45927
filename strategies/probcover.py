"""ProbCover [1]: slices whose neighborhoods together contain as many slices of the pool as possible.

The ball of a slice x holds the slices u with `|u - x| < delta`. Slices are queried greedily: each time the one whose
ball holds the most slices that are in no ball of a labeled or selected slice yet; ties are broken at random. The greedy
algorithm covers at least 1 - 1/e of what is possible (Nemhauser et al. 1978).

`delta` is the largest radius at which at least a share `purity` of the balls are pure: they hold slices of one cluster
of k-means only, with as many `clusters` as there are classes. It is found exactly: a ball is pure up to the distance of
its center to the nearest slice of another cluster, and `delta` is a quantile of these distances.

Differences from the paper: [1] embeds images by self-supervised learning (SimCLR). Here the embedding is that of the
current network, or vectors that were computed elsewhere (`embeddings`), such as those of a self-supervised encoder. [1]
classifies images; a slice has no class, so that the number of `clusters` is a choice, by default that of CIFAR-10. The
authors' code is given one `delta` for all rounds; here it is computed in every round, because the embedding changes.
Where no ball holds anything new, the rest is drawn at random; the authors' code ends with an error there. Of [1], the
beginning, the authors' code and the implementation in scikit-activeml were read; the rule of purity is theirs.

When it fails: where `delta` is so large that few balls cover the pool, the rest is drawn at random, and where it is so
small that balls hold single slices, all draws are. The pseudo-classes by which it is found need not be those of the
task. Outliers are never queried, and it does not know what is difficult.

[1] Yehuda, Dekel, Hacohen and Weinshall. Active Learning Through a Covering Lens. NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from albench.clustering import k_means, unit_vectors
from albench.strategy import Ids, Pool, VectorSelection, register

_ROWS = 1024  # slices whose distances are in memory at once


@register("probcover")
@dataclass(frozen=True)
class ProbCover(VectorSelection):
    """Selects slices whose balls cover the pool.

    Attributes:
        delta: radius of the balls; None takes the largest one at which balls are pure.
        purity: share of balls that must be pure, of effect without `delta`.
        clusters: number of pseudo-classes by which purity is judged, of effect without `delta`.
        normalize: compare directions, by vectors of length 1.
    """

    kind = "diversity"
    paper = "Yehuda et al. 2022"

    delta: Annotated[float, Field(gt=0)] | None = None
    purity: Annotated[float, Field(gt=0, le=1)] = 0.95
    clusters: Annotated[int, Field(ge=2)] = 10
    normalize: bool = True

    def select(self, vectors: Tensor, pool: Pool, count: int, rng: np.random.Generator) -> Ids:
        """Select the slices whose balls cover the most, and slices at random when all is covered."""
        ids = np.concatenate([pool.labeled, rng.permutation(pool.unlabeled)])  # a lower row wins a tie
        points = vectors.cpu().numpy()[ids].astype(np.float64)
        points = unit_vectors(points) if self.normalize else points
        delta = self.delta or pure_radius(points, k_means(points, min(self.clusters, len(ids)), rng), self.purity)
        labeled = np.arange(len(ids)) < len(pool.labeled)
        chosen = ids[cover(points, delta, labeled, count)]
        others = np.setdiff1d(pool.unlabeled, chosen)
        return np.concatenate([chosen, rng.choice(others, count - len(chosen), replace=False)])


def pure_radius(points: NDArray[np.float64], clusters: NDArray[np.int64], purity: float) -> float:
    """The largest radius at which a share `purity` of open balls holds points of one cluster only.

    Args:
        points: (n, d).
        clusters: (n,).

    Returns:
        The radius, infinite if there is one cluster.
    """
    apart = np.concatenate(
        [
            np.where(clusters[rows, None] == clusters, np.inf, squares).min(1)
            for rows, squares in _squared_distances(points)
        ]
    )
    return math.sqrt(np.sort(apart)[len(apart) - math.ceil(purity * len(apart))])


def cover(points: NDArray[np.float64], radius: float, labeled: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Greedily select points whose open balls hold the most points that no other ball holds.

    What a ball adds can only decrease as others are selected, so only the ball with the highest earlier value is
    counted again (Minoux's accelerated greedy algorithm). O(n^2 d) time, n^2 bits of memory. Ties are broken by the
    lower row.

    Args:
        points: (n, d).
        labeled: (n,) points whose balls are there already and that cannot be selected.
        count: how many to select at most.

    Returns:
        (at most count,) rows, in the order of selection, until nothing more can be covered.
    """
    size = len(points)
    balls = np.concatenate(
        [np.packbits(np.sqrt(squares) < radius, axis=1) for _, squares in _squared_distances(points)]
    )
    left = ~np.bitwise_or.reduce(balls[labeled], axis=0) if labeled.any() else np.full_like(balls[0], 255)
    bounds = [(-size, row) for row in np.flatnonzero(~labeled).tolist()]
    heapify(bounds)
    chosen: list[int] = []
    while bounds and len(chosen) < count:
        bound, row = bounds[0]
        added = int(np.unpackbits(balls[row] & left, count=size).sum())
        if -added > bound:
            heapreplace(bounds, (-added, row))
        elif not added:
            break
        else:
            heappop(bounds)
            chosen.append(row)
            left &= ~balls[row]
    return np.array(chosen, dtype=np.int64)


def _squared_distances(points: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Some rows of (n, d) points, and their (rows, n) squared distances to all."""
    centered = points - points.mean(0)  # |a|^2 + |b|^2 - 2ab loses fewer digits with smaller norms
    norms = np.square(centered).sum(1)
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, np.maximum(norms[rows, None] + norms - 2 * centered[rows] @ centered.T, 0)
