"""ProbCover: balls by hand, by brute force, and by scikit-activeml."""

import math

import numpy as np
import pytest
import torch
from support.samples import line_of_slices

from albench.strategies.probcover import ProbCover, cover, pure_radius


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


LINE = column(0, 1, 2, 10, 11, 30)
GROUPS = np.array([0, 0, 0, 1, 1, 2])
NONE = np.zeros(6, bool)


def test_of_six_slices_those_whose_balls_hold_the_most_new_slices_are_queried():
    pool, vectors = line_of_slices(6, labeled=[5]), torch.from_numpy(LINE)
    strategy = ProbCover(delta=1.5, normalize=False)
    for seed in range(5):
        first, second, *rest = strategy.select(vectors, pool, 5, np.random.default_rng(seed)).tolist()
        assert first == 1, "its ball holds 0, 1 and 2"
        assert second in (3, 4), "10 and 11 are in the ball of either"
        assert sorted([second, *rest]) == [0, 2, 3, 4]


def test_ties_and_what_is_queried_after_all_is_covered_are_drawn():
    pool, vectors = line_of_slices(6, labeled=[5]), torch.from_numpy(LINE)
    drawn = [
        tuple(ProbCover(delta=1.5, normalize=False).select(vectors, pool, 3, np.random.default_rng(seed)))
        for seed in range(60)
    ]
    assert {found[1] for found in drawn} == {3, 4}
    assert {found[2] for found in drawn} == {0, 2, 3, 4}


@pytest.mark.parametrize(
    ("radius", "labeled", "expected"),
    [
        (1.5, [], [1, 3, 5]),
        (1.5, [5], [1, 3]),
        (1.5, [0], [3, 1, 5]),  # the ball of 0 holds 1
        (1.5, [1, 3, 5], []),
        (1, [], [0, 1, 2, 3, 4, 5]),  # a ball is open
        (1.001, [], [1, 3, 5]),
        (100, [], [0]),
        (math.inf, [], [0]),
    ],
)
def test_balls_are_open_and_those_of_labeled_slices_are_there_already(radius, labeled, expected):
    assert cover(LINE, radius, np.isin(np.arange(6), labeled), 6).tolist() == expected


@pytest.mark.parametrize(
    ("purity", "radius"), [(1, 8), (0.95, 8), (4 / 6, 9), (0.5, 9), (2 / 6, 10), (1 / 6, 19), (0.01, 19)]
)
def test_the_radius_is_the_largest_at_which_enough_balls_are_pure(purity, radius):
    """The nearest slices of other groups are at distances 10, 9, 8, 8, 9 and 19."""
    assert pure_radius(LINE, GROUPS, purity) == radius
    assert pure_radius(LINE, np.zeros(6, int), purity) == math.inf


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("purity", [0.5, 0.8, 0.95])
def test_at_the_radius_enough_balls_are_pure_and_beyond_it_are_not(seed, purity, monkeypatch):
    monkeypatch.setattr("albench.strategies.probcover._ROWS", 13)
    rng = np.random.default_rng(seed)
    points, groups = rng.normal(size=(60, 3)), rng.integers(3, size=60)
    distances = np.linalg.norm(points[:, None] - points, axis=2)

    def share(radius: float) -> float:
        return float(np.mean([len(set(groups[row < radius])) <= 1 for row in distances]))

    radius = pure_radius(points, groups, purity)
    assert share(radius * (1 - 1e-9)) >= purity > share(radius * (1 + 1e-9))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [0.3, 0.8, 1.5])
def test_every_ball_holds_as_many_new_slices_as_any_other(seed, radius, monkeypatch):
    monkeypatch.setattr("albench.strategies.probcover._ROWS", 13)
    rng = np.random.default_rng(seed)
    points, labeled = rng.normal(size=(70, 2)), rng.random(70) < 0.1
    balls = np.linalg.norm(points[:, None] - points, axis=2) < radius
    covered, chosen = balls[labeled].any(0), cover(points, radius, labeled, 40)
    for row in chosen:
        gains = (balls & ~covered).sum(1)
        assert gains[row] == gains[~labeled].max() > 0
        assert row == np.flatnonzero(~labeled & (gains == gains[row]))[0], "the lower row wins a tie"
        covered |= balls[row]
    assert len(chosen) == 40 or covered.all()


@pytest.mark.filterwarnings("ignore:The maximum purity")  # of a single radius
def test_probcover_queries_what_scikit_activeml_finds_best():
    """It draws among equals, so that it is asked before every choice what each slice would add."""
    from skactiveml.pool import ProbCover as Reference

    points = np.random.default_rng(0).normal(size=(120, 3))
    labels = np.full(120, np.nan)
    labels[:6] = 0
    for row in cover(points, 0.9, np.arange(120) < 6, 12):
        reference = Reference(deltas=[0.9], random_state=0)
        _, (utilities,) = reference.query(points, labels, return_utilities=True)
        assert utilities[row] == np.nanmax(utilities)
        labels[row] = 0


def test_the_radius_follows_from_clusters_of_labeled_and_unlabeled_slices_unless_it_is_given(monkeypatch):
    asked = []
    monkeypatch.setattr("albench.strategies.probcover.cover", lambda p, delta, *_: asked.append(delta) or np.array([0]))
    pool, vectors = line_of_slices(6, labeled=[5]), torch.from_numpy(LINE)
    for strategy in (
        ProbCover(clusters=3, normalize=False),
        ProbCover(clusters=3, purity=0.5, normalize=False),
        ProbCover(clusters=50, normalize=False),
        ProbCover(delta=0.25),
    ):
        strategy.select(vectors, pool, 1, np.random.default_rng(0))
    assert asked == [8, 9, 1, 0.25]
