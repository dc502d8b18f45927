from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albench.covering import _dense, _lazy, _upper_bounds

both = pytest.mark.parametrize("select", [_lazy, _dense])


@both
def test_k_center_on_a_line_selects_the_far_end_then_the_middle(select):
    points = torch.tensor([[1.0], [2.0], [10.0]])
    assert select(points, torch.tensor([[0.0]]), 2).tolist() == [2, 1]


@both
@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_radius_of_k_center_is_at_most_twice_the_smallest_possible(select, seed):
    rng = np.random.default_rng(seed)
    points, fixed = rng.random((9, 2)), rng.random((2, 2))

    def radius(rows: tuple[int, ...]) -> float:
        centers = np.concatenate([fixed, points[list(rows)]])
        return np.linalg.norm(points[:, None] - centers, axis=2).min(1).max()

    best = min(radius(rows) for rows in combinations(range(9), 3))
    found = select(torch.from_numpy(points), torch.from_numpy(fixed), 3)
    assert radius(tuple(found.tolist())) <= 2 * best + 1e-12


@both
def test_k_center_selects_what_scikit_activeml_selects(select):
    from skactiveml.pool import CoreSet

    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(300, 64)).astype(np.float32)
    labels = np.full(300, np.nan)
    labels[:20] = 0
    expected = CoreSet(random_state=0).query(embeddings, labels, batch_size=25)
    features = torch.from_numpy(embeddings)
    assert (select(features[20:], features[:20], 25) + 20).tolist() == expected.tolist()


@both
@given(st.integers(0, 10_000), st.integers(1, 80), st.sampled_from(["normal", "clusters", "far from the origin"]))
@settings(max_examples=40, deadline=None)
def test_k_center_selects_what_plain_float64_selects(select, seed, size, kind):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(300, size)).astype(np.float32)
    if kind == "clusters":
        points = (5 * rng.normal(size=(9, size))[rng.integers(9, size=300)] + 0.1 * points).astype(np.float32)
    elif kind == "far from the origin":
        points = 1000 + 0.01 * points
    candidates, centers = points[40:], points[:40]

    def squares(row: np.ndarray) -> np.ndarray:
        return ((candidates.astype(np.float64) - row) ** 2).sum(1)

    nearest = np.min([squares(center) for center in centers], axis=0)
    found = select(torch.from_numpy(candidates), torch.from_numpy(centers), 50).tolist()
    assert len(set(found)) == 50
    for row in found:  # a difference in the last digits of float64 may decide between equals
        assert nearest[row] >= nearest.max() * (1 - 1e-9) - 1e-9
        nearest = np.minimum(nearest, squares(candidates[row]))
        nearest[row] = -1


def test_upper_bounds_from_float32_are_never_below_float64_distances():
    rng = np.random.default_rng(0)
    for scale, offset in ((1, 0), (1e-3, 100), (1e4, -1e6)):
        points = (scale * rng.standard_cauchy((200, 300)) + offset).astype(np.float32)
        candidates, centers = torch.from_numpy(points[50:]), torch.from_numpy(points[:50])
        exact = torch.cdist(candidates.double(), centers.double()).square().amin(1)
        assert (_upper_bounds(candidates, centers, candidates.mean(0, dtype=torch.float64)) >= exact).all()


@both
def test_k_center_never_selects_a_copy_of_a_labeled_slice_before_others(select):
    rng = np.random.default_rng(1)
    constant = np.full((1, 1024), 300.0, np.float32)  # far from the origin: |a|^2 + |b|^2 - 2ab loses its digits
    others = rng.normal(size=(10, 1024)).astype(np.float32) * 0.01 + constant
    candidates = torch.from_numpy(np.concatenate([np.repeat(constant, 5, 0), others]))
    chosen = select(candidates, torch.from_numpy(constant), 15).tolist()
    assert sorted(chosen[:10]) == list(range(5, 15))
    assert sorted(chosen) == list(range(15))


@both
def test_k_center_breaks_ties_by_the_lower_row(select):
    assert select(torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([[0.0]]), 1).tolist() == [0]
