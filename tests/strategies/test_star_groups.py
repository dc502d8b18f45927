"""Groups, pairs and ranks of STAR, on positions and ids only."""

import numpy as np
import pytest

from albench.strategies._star.groups import (
    fixed_groups,
    neighbors,
    pairs_at_stride,
    rank_in_group,
    rows_of,
    windows,
)


def ends(groups):
    return [(group[0], group[-1]) for group in groups]


def test_the_papers_groups_of_a_brats_case():
    groups = fixed_groups(155, 10)
    assert ends(groups) == [*((start, start + 10) for start in range(0, 150, 10)), (144, 154)]
    assert len(range(0, 155, 10)) == 16


@pytest.mark.parametrize(
    ("depth", "first", "last", "count"),
    [(100, (0, 10), (89, 99), 10), (101, (0, 10), (90, 100), 10), (8, (0, 7), (0, 7), 1), (1, (0, 0), (0, 0), 1)],
)
def test_the_last_group_is_shifted_back_and_a_case_with_few_slices_is_one_group(depth, first, last, count):
    groups = ends(fixed_groups(depth, 10))
    assert (groups[0], groups[-1], len(groups)) == (first, last, count)


@pytest.mark.parametrize("interval", [1, 2, 3, 10])
@pytest.mark.parametrize("depth", [1, 2, 3, 9, 10, 11, 12, 20, 21, 22, 47])
def test_every_slice_is_in_a_group_and_every_group_has_an_initial_slice(depth, interval):
    groups = fixed_groups(depth, interval)
    assert {position for group in groups for position in group} == set(range(depth))
    assert all(any(position % interval == 0 for position in group) for group in groups)
    assert all(len(group) == min(interval + 1, depth) for group in groups)


def test_every_labeled_slice_starts_a_sliding_group_and_equal_groups_are_given_once():
    assert ends(windows(30, 10, [0, 4, 10, 20, 22, 29])) == [(0, 10), (4, 14), (10, 20), (19, 29)]


CASE = np.repeat([0, 1, 2], [6, 1, 5])


def test_pairs_are_labeled_neighbors_of_the_same_case_in_one_or_both_directions():
    labeled = np.array([0, 2, 5, 6, 7, 11])
    assert neighbors(labeled, CASE, "forward").tolist() == [[0, 2], [2, 5], [7, 11]]
    assert neighbors(labeled, CASE, "both").tolist() == [[0, 2], [2, 5], [7, 11], [2, 0], [5, 2], [11, 7]]


def test_cases_with_one_labeled_slice_give_no_pair():
    assert neighbors(np.array([0, 6, 7]), CASE, "both").shape == (0, 2)


def test_validation_pairs_are_a_stride_apart_and_never_across_cases():
    pairs = pairs_at_stride(CASE, 4, "forward")
    assert pairs.tolist() == [[0, 4], [1, 5], [6, 6], [7, 11]]
    assert pairs_at_stride(CASE, 1, "forward").tolist()[:5] == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    assert pairs_at_stride(CASE, 100, "forward").tolist() == [[0, 5], [6, 6], [7, 11]]
    assert len(pairs_at_stride(CASE, 4, "both")) == 2 * len(pairs)


def test_slices_are_ranked_by_similarity_within_their_groups():
    similarity = np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.5])
    groups = [np.array([0, 1, 2]), np.array([2, 3, 4])]
    assert rank_in_group(groups, similarity).tolist() == [0, 1, 0, 1, 2, 0]  # the last is in no group


def test_ranks_break_ties_by_the_lower_id():
    assert rank_in_group([np.arange(3)], np.ones(3)).tolist() == [0, 1, 2]


def test_the_rows_of_a_group_are_those_of_a_membership_test():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = np.flatnonzero(rng.random(40) < rng.random())
        first, end = np.sort(rng.choice(41, 2, replace=False))
        group = np.arange(first, end)
        np.testing.assert_array_equal(rows_of(group, ids), np.flatnonzero(np.isin(ids, group)))
