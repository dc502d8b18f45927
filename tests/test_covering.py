from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare
from sklearn.cluster import kmeans_plusplus
from support.slow import slow_but

from albench.covering import _dense, _lazy, _upper_bounds, k_means_plus_plus

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


SIX = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [6.0, 0.0], [6.0, 1.0]])


def seeds(points: torch.Tensor, count: int, rng: np.random.Generator) -> list[int]:
    return k_means_plus_plus(points, torch.from_numpy(rng.random(count - 1))).tolist()


def test_k_means_plus_plus_selects_the_row_where_a_draw_falls_in_the_sums_of_squared_distances():
    """From row 5, the longest, squared distances are 37, 26, 37, 13, 1, of 114; from row 5 and 2, 4, 5, -, 10, 1."""
    assert seeds(SIX, 1, np.random.default_rng(0)) == [5]
    for first, second, expected in (
        (0.0, 0.0, [5, 0, 1]),
        (37 / 114 + 1e-9, 0.0, [5, 1, 0]),
        (64 / 114, 0.0, [5, 2, 0]),
        (99 / 114, 3.99 / 20, [5, 2, 0]),
        (99 / 114, 4.01 / 20, [5, 2, 1]),
        (99 / 114, 9.01 / 20, [5, 2, 3]),
        (99 / 114, 19.01 / 20, [5, 2, 4]),
        (101 / 114, 0.999, [5, 3, 4]),
        (1 - 2**-53, 1 - 2**-53, [5, 4, 3]),
    ):
        assert k_means_plus_plus(SIX, torch.tensor([first, second], dtype=torch.float64)).tolist() == expected


@pytest.mark.parametrize("block", slow_but([2], [2, 1024]))
def test_k_means_plus_plus_draws_in_proportion_to_squared_distances(monkeypatch, block):
    monkeypatch.setattr("albench.covering._BLOCK", block)
    rng, squares = np.random.default_rng(0), torch.cdist(SIX.double(), SIX.double()).square().numpy()
    drawn = [tuple(seeds(SIX, 3, rng)[1:]) for _ in range(6000)]
    expected = {}
    for i in range(5):
        nearest = np.minimum(squares[5], squares[i])
        for j in set(range(5)) - {i}:
            expected[i, j] = squares[5, i] / squares[5].sum() * nearest[j] / nearest.sum()
    assert sum(expected.values()) == pytest.approx(1)
    assert len(set(drawn) - set(expected)) == 0
    counts = [drawn.count(pair) for pair in expected]
    assert chisquare(counts, 6000 * np.array([*expected.values()])).pvalue > 1e-4


def test_k_means_plus_plus_draws_as_scikit_learn_does_after_the_same_first_point():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(8, 3))
    points[3] *= 10
    ours = [tuple(sorted(seeds(torch.from_numpy(points), 3, rng)[1:])) for _ in range(1500)]

    class FromRow3(np.random.RandomState):  # the only use of `choice` is for the first point
        def choice(self, *arguments, **options):
            return 3

    theirs = []
    for state in range(1500):
        first, *rows = kmeans_plusplus(points, 3, random_state=FromRow3(state), n_local_trials=1)[1].tolist()
        assert first == 3
        theirs.append(tuple(sorted(rows)))
    pairs = sorted({*ours, *theirs})
    table = np.array([[drawn.count(pair) for pair in pairs] for drawn in (ours, theirs)])
    frequent = table.sum(0) >= 20
    table = np.column_stack([table[:, frequent], table[:, ~frequent].sum(1) + 1])
    assert chi2_contingency(table).pvalue > 1e-4


def test_k_means_plus_plus_never_selects_a_row_twice_and_copies_last():
    rng = np.random.default_rng(0)
    points = torch.tensor([[1.0], [1.0], [1.0], [2.0], [0.0], [2.0]])
    drawn = [seeds(points, 6, rng) for _ in range(600)]
    for rows in drawn:
        assert sorted(rows) == list(range(6))
        assert {points[row].item() for row in rows[:3]} == {0.0, 1.0, 2.0}
    last = [rows[-1] for rows in drawn if set(rows[:3]) == {3, 4, 0}]
    assert chisquare([last.count(row) for row in (1, 2, 5)]).pvalue > 1e-4
    assert seeds(torch.zeros(3, 2), 3, rng)[0] == 0
    assert sorted(seeds(torch.zeros(3, 2), 3, rng)) == [0, 1, 2]
