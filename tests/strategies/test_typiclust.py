"""TypiClust: groups by hand, by brute force, and by scikit-activeml."""

import numpy as np
import pytest
import torch
from support.samples import line_of_slices

from albench.strategies.typiclust import TypiClust, mean_distances, typical


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_of_six_slices_the_most_typical_of_the_largest_groups_without_a_label_are_queried():
    """0, 1, 2, 4 | 10 | 100, which is labeled; mean distances to two neighbors are 1.5, 1, 1.5 and 2.5."""
    pool = line_of_slices(6, labeled=[5])
    vectors = torch.tensor([[0.0], [1.0], [2.0], [4.0], [10.0], [100.0]])
    strategy = TypiClust(min_size=0, normalize=False)
    assert strategy.select(vectors, pool, 2, np.random.default_rng(0)).tolist() == [1, 4]
    assert strategy.select(vectors, pool, 1, np.random.default_rng(0)).tolist() == [1], "of 0 to 10 in one group"


def test_small_groups_are_left_out_until_nothing_else_is_left():
    pool = line_of_slices(6, labeled=[5])
    vectors = torch.tensor([[0.0], [1.0], [2.0], [4.0], [10.0], [100.0]])
    found = [
        TypiClust(min_size=size, normalize=False).select(vectors, pool, 2, np.random.default_rng(0)).tolist()
        for size in (3, 4)
    ]
    assert found == [[1, 0], [1, 4]], "a group of four is large, or all are small"


def test_groups_are_visited_by_their_labels_then_by_their_sizes_over_and_over():
    points = column(0, 1, 2, 4, 10, 11, 20, 21, 22, 23, 24)
    clusters = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    labeled = np.arange(11) == 10
    chosen = typical(points, clusters, labeled, 10, min_size=0, neighbors=20)
    # typical of 0, 1, 2, 4 is 1, then of 0, 2, 4 any; of 20 to 23 it is 21 or 22, then of 20, 22, 23 it is 22 or 23
    assert chosen.tolist() == [1, 4, 7, 0, 5, 8, 2, 6, 3, 9]


def test_neighbors_are_at_most_half_of_the_slices_that_are_compared():
    points = column(0, 1, 3, 7)
    np.testing.assert_allclose(mean_distances(points, 1), [1, 1, 2, 4])
    np.testing.assert_allclose(mean_distances(points, 20), [2, 1.5, 2.5, 5])
    assert mean_distances(points[:1], 20).tolist() == [0]


@pytest.mark.parametrize("seed", range(3))
def test_mean_distances_equal_brute_force_in_pieces(seed, monkeypatch):
    monkeypatch.setattr("albench.strategies.typiclust._ROWS", 7)
    points = np.random.default_rng(seed).normal(size=(40, 3))
    full = np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)
    np.testing.assert_allclose(mean_distances(points, 6), full[:, 1:7].mean(1))


def test_typiclust_queries_what_scikit_activeml_queries():
    """With more than ten slices in each group, which are far apart, so that both average to five neighbors."""
    from skactiveml.pool import TypiClust as Reference

    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [50, 0], [0, 50], [50, 50], [100, 100]])
    group = np.repeat(np.arange(5), [14, 17, 21, 26, 32])
    vectors = centers[group] + rng.normal(size=(len(group), 2))
    labels = np.full(len(group), np.nan)
    labels[[0, 3, 14 + 17]] = 0  # in the first and in the third group
    expected = Reference(k=5, random_state=0).query(vectors, labels, batch_size=2)
    pool = line_of_slices(len(group), labeled=[0, 3, 14 + 17])
    strategy = TypiClust(neighbors=5, normalize=False)
    found = strategy.select(torch.from_numpy(vectors), pool, 2, np.random.default_rng(0))
    assert found.tolist() == expected.tolist()
    assert group[found].tolist() == [4, 3]


def test_directions_are_compared_unless_lengths_shall_count():
    """Directions 0, 1, 45, 45, 45 and 1 degrees; rows 0, 1 and 3 are short, the others long."""
    pool = line_of_slices(6, labeled=[])
    vectors = torch.tensor([[1.0, 0], [2.0, 0.02], [90.0, 90.0], [1.0, 1.1], [80.0, 82.0], [90.0, 0.9]])
    strategies = (TypiClust(min_size=0), TypiClust(min_size=0, normalize=False))
    by_direction, by_length = (set(s.select(vectors, pool, 3, np.random.default_rng(0)).tolist()) for s in strategies)
    assert by_direction & {0, 1, 5}, "along the first axis"
    assert by_direction & {2, 3, 4}, "and between both"
    assert len(by_length & {0, 1, 3}) == 1, "short, and two groups of long ones"


def test_the_number_of_groups_is_limited(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "albench.strategies.typiclust.k_means",
        lambda points, clusters, rng: asked.append(clusters) or np.zeros(len(points), np.int64),
    )
    pool, vectors = line_of_slices(9, labeled=[0, 1]), torch.rand(9, 2)
    for strategy, count in ((TypiClust(), 3), (TypiClust(max_clusters=4), 3), (TypiClust(), 7)):
        assert len(strategy.select(vectors, pool, count, np.random.default_rng(0))) == count
    assert asked == [5, 4, 9]
