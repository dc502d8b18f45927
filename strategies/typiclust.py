"""TypiClust [1]: the most typical slice of each of the largest groups of slices without a label.

1. k-means divides the labeled and the unlabeled slices into `labeled + budget` clusters, at most `max_clusters`.
   Clusters of at most `min_size` slices are left out.
2. Clusters are visited in the order of their labeled slices, those without one first, and of their sizes, the largest
   first; if the budget is larger than their number, over and over again.
3. Each visit queries the slice with the highest typicality among the unlabeled slices of the cluster, the inverse of
   its mean distance to its nearest ones: `T(x) = ((1 / K) sum_{i in KNN(x)} |x - x_i|)^-1` with K = `neighbors`, or
   half of these slices if they are fewer.

Differences from the paper: [1] embeds images by self-supervised learning (SimCLR). Here the embedding is that of the
current network, or vectors that were computed elsewhere (`embeddings`), such as those of a self-supervised encoder.
Of [1], the authors' code and the implementation in scikit-activeml were read, not the whole text. The former averages
squared distances; here they are not squared, as in the latter, which follows the formula of the paper. Where no cluster
is large enough or none of the large ones has an unlabeled slice left, the small ones are visited likewise; the authors'
code ends with an error there.

When it fails: slices of dense groups are often the empty ones and those of the middle of organs, so rare findings are
not queried while the budget is small. It does not know what is difficult, and with many labels uncertain slices gain
more. It depends on embeddings in which groups mean something.

[1] Hacohen, Dekel and Weinshall. Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets. ICML 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from albench.clustering import k_means, unit_vectors
from albench.strategy import Ids, Pool, VectorSelection, register

_ROWS = 1024  # slices whose distances are in memory at once


@register("typiclust")
@dataclass(frozen=True)
class TypiClust(VectorSelection):
    """Selects typical slices of dense groups that no label represents.

    Attributes:
        max_clusters: number of clusters at most.
        min_size: clusters of at most this many slices are left out, as long as others have unlabeled slices.
        neighbors: nearest slices to which typicality averages the distance.
        normalize: compare directions, by vectors of length 1.
    """

    kind = "diversity"
    paper = "Hacohen et al. 2022"

    max_clusters: Annotated[int, Field(ge=1)] = 500
    min_size: Annotated[int, Field(ge=0)] = 5
    neighbors: Annotated[int, Field(ge=1)] = 20
    normalize: bool = True

    def select(self, vectors: Tensor, pool: Pool, count: int, rng: np.random.Generator) -> Ids:
        """Select typical slices of the largest clusters without a label."""
        ids = np.concatenate([pool.labeled, pool.unlabeled])
        points = vectors.cpu().numpy()[ids].astype(np.float64)
        points = unit_vectors(points) if self.normalize else points
        clusters = k_means(points, min(len(pool.labeled) + count, self.max_clusters, len(ids)), rng)
        labeled = np.arange(len(ids)) < len(pool.labeled)
        return ids[typical(points, clusters, labeled, count, self.min_size, self.neighbors)]


def typical(
    points: NDArray[np.float64],
    clusters: NDArray[np.int64],
    labeled: NDArray[np.bool_],
    count: int,
    min_size: int,
    neighbors: int,
) -> NDArray[np.int64]:
    """Visit clusters, those with few labels and many points first, and select the most typical point of each.

    Args:
        points: (n, d).
        clusters: (n,) from 0.
        labeled: (n,) whether a point is labeled; at least `count` are not.
        count: how many to select.
        min_size: clusters of at most this many points are visited only when no other has an unlabeled point.
        neighbors: of a point, whose distance is averaged.

    Returns:
        (count,) rows, in the order of selection.
    """
    sizes, labels = np.bincount(clusters), np.bincount(clusters, weights=labeled)
    order = np.lexsort((-sizes, labels))
    left = [np.flatnonzero((clusters == cluster) & ~labeled) for cluster in range(len(sizes))]
    large = [cluster for cluster in order if sizes[cluster] > min_size]
    small = [cluster for cluster in order if 0 < sizes[cluster] <= min_size]
    chosen: list[int] = []
    for visited in (large, small):
        turns = sum(len(left[cluster]) for cluster in visited)
        for cluster in cycle(visited):
            if len(chosen) == count or not turns:
                break
            rows = left[cluster]
            if len(rows):
                best = int(rows[mean_distances(points[rows], neighbors).argmin()])
                chosen.append(best)
                left[cluster] = rows[rows != best]
                turns -= 1
    return np.array(chosen, dtype=np.int64)


def mean_distances(points: NDArray[np.float64], neighbors: int) -> NDArray[np.float64]:
    """(n,) mean distance of each of (n, d) points to its nearest ones, at most half of them; 0 for a single point."""
    from scipy.spatial.distance import cdist

    nearest = min(neighbors, len(points) // 2)
    if not nearest:
        return np.zeros(len(points))
    found = np.empty(len(points))
    for start in range(0, len(points), _ROWS):
        distances = cdist(points[start : start + _ROWS], points)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf  # a point is not its own neighbor
        found[start : start + _ROWS] = np.partition(distances, nearest - 1)[:, :nearest].mean(1)
    return found
