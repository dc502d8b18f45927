"""Groups of similar vectors: k-means by scikit-learn, the same in every process and in every order of the rows."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

_EXACT = 50  # clusters up to which every step looks at all vectors
_BATCH = 5000  # vectors that a step looks at beyond


def k_means(vectors: NDArray[np.float64], clusters: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) cluster of each of (n, d) vectors, from 0; there may be fewer clusters than asked for.

    Initial centers are those of k-means++ (Arthur and Vassilvitskii, SODA 2007), the best of ten draws. Beyond 50
    clusters, centers are moved by batches of 5,000 vectors (Sculley, WWW 2010), from the best of three draws, as in
    the code of Hacohen et al. (ICML 2022).

    Args:
        clusters: how many, at most n.
        rng: source of the seed.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    seed = int(rng.integers(2**31))
    if clusters <= _EXACT:
        method = KMeans(clusters, n_init=10, random_state=seed)
    else:
        method = MiniBatchKMeans(clusters, n_init=3, batch_size=_BATCH, random_state=seed)
    order = np.lexsort(vectors.T[::-1])  # by their first number
    found = np.empty(len(vectors), np.int64)
    with warnings.catch_warnings(), threadpool_limits(1):  # threads add in the order in which they end
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer clusters, where vectors are equal
        found[order] = method.fit_predict(vectors[order])
    return found


def unit_vectors(vectors: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n, d) vectors of length 1 in the same directions; those of length 0 stay."""
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
