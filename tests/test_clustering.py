import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from albench.clustering import k_means, unit_vectors


def blobs(count: int, each: int, dimension: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Points around the corners of a hypercube, and the corner of each."""
    rng = np.random.default_rng(0)
    corners = 10.0 * (np.arange(count)[:, None] >> np.arange(dimension) & 1)
    corner = np.repeat(np.arange(count), each)
    return corners[corner] + rng.normal(size=(len(corner), dimension)), corner


@pytest.mark.parametrize(("count", "dimension"), [(2, 1), (10, 4), (60, 6)])
def test_k_means_finds_groups_that_are_far_apart(count, dimension):
    points, group = blobs(count, 12, dimension)
    found = k_means(points, count, np.random.default_rng(1))
    assert adjusted_rand_score(group, found) > (0.999 if count <= 50 else 0.9)
    assert set(found) <= set(range(count))


@pytest.mark.parametrize("clusters", [7, 70])  # no natural number of groups: the result depends on the draws
def test_the_clusters_depend_on_the_seed_and_not_on_the_order_of_the_rows(clusters):
    points = np.random.default_rng(0).normal(size=(300, 5))
    order = np.random.default_rng(1).permutation(300)
    one, turned, other = (
        k_means(rows, clusters, np.random.default_rng(seed))
        for rows, seed in ((points, 0), (points[order], 0), (points, 1))
    )
    np.testing.assert_array_equal(one[order], turned)
    assert adjusted_rand_score(one, other) < 0.99


def test_equal_vectors_are_one_cluster_whatever_their_number(recwarn):
    assert set(k_means(np.ones((9, 3)), 4, np.random.default_rng(0))) == {0}
    assert not recwarn.list


def test_unit_vectors_have_length_one_and_a_vector_of_zeros_stays():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], np.float32)
    np.testing.assert_allclose(unit_vectors(vectors), [[0.6, 0.8], [0, 0], [0, -1]], atol=1e-12)
