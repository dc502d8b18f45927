"""Tests over datasets, compared with Demsar's own numbers, scipy, brute force and calculations by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from albench.reports.rank_tests import (
    alike,
    critical_difference,
    friedman,
    least_signed_rank,
    ranked,
    signed_rank,
)

# AUC of C4.5, with -m, with -cf and with both, and their ranks: Table 6 of Demsar, JMLR 7, 2006.
TABLE_6 = """
adult                   0.763 (4)   0.768 (3)   0.771 (2)   0.798 (1)
breast-cancer           0.599 (1)   0.591 (2)   0.590 (3)   0.569 (4)
breast-cancer-wisconsin 0.954 (4)   0.971 (1)   0.968 (2)   0.967 (3)
cmc                     0.628 (4)   0.661 (1)   0.654 (3)   0.657 (2)
ionosphere              0.882 (4)   0.888 (2)   0.886 (3)   0.898 (1)
iris                    0.936 (1)   0.931 (2.5) 0.916 (4)   0.931 (2.5)
liver-disorders         0.661 (3)   0.668 (2)   0.609 (4)   0.685 (1)
lung-cancer             0.583 (2.5) 0.583 (2.5) 0.563 (4)   0.625 (1)
lymphography            0.775 (4)   0.838 (3)   0.866 (2)   0.875 (1)
mushroom                1.000 (2.5) 1.000 (2.5) 1.000 (2.5) 1.000 (2.5)
primary-tumor           0.940 (4)   0.962 (2.5) 0.965 (1)   0.962 (2.5)
rheum                   0.619 (3)   0.666 (2)   0.614 (4)   0.669 (1)
voting                  0.972 (4)   0.981 (1)   0.975 (2)   0.975 (3)
wine                    0.957 (3)   0.978 (1)   0.946 (4)   0.970 (2)
"""
_ROWS = [line.replace("(", "").replace(")", "").split()[1:] for line in TABLE_6.strip().splitlines()]
AUC = np.array([[float(value) for value in row[::2]] for row in _ROWS]).T
RANKS = np.array([[float(value) for value in row[1::2]] for row in _ROWS]).T


def test_ranks_are_those_that_demsar_printed_apart_from_a_tie_that_rounding_made():
    found = ranked(AUC, higher=True)
    (voting,) = [i for i, line in enumerate(TABLE_6.strip().splitlines()) if line.startswith("voting")]
    assert found[:, voting].tolist() == [4, 1, 2.5, 2.5]
    assert np.array_equal(np.delete(found, voting, 1), np.delete(RANKS, voting, 1))
    assert np.array_equal(ranked(-AUC, higher=False), found)
    assert RANKS.mean(1) == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=5e-4)


def test_friedmans_statistic_is_demsars_without_his_neglect_of_ties():
    found = friedman(RANKS)
    # He has 9.28, and from it F = 3.69, by a formula for ranks without ties.
    without_ties = 4 * (4**2 - 1) / 12 * RANKS.shape[1]
    ratio = ((RANKS - 2.5) ** 2).sum() / without_ties
    statistic = found.chi_square * ratio
    assert statistic == pytest.approx(9.28, abs=0.005)
    assert 13 * statistic / (14 * 3 - statistic) == pytest.approx(3.69, abs=0.005)
    assert found.f == pytest.approx(13 * found.chi_square / (14 * 3 - found.chi_square))
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39))


@pytest.mark.parametrize("ties", [False, True])
def test_friedmans_statistic_is_that_of_scipy(ties):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 4, (4, 9)).astype(float) if ties else rng.normal(size=(4, 9))
    assert friedman(ranked(values, higher=True)).chi_square == pytest.approx(stats.friedmanchisquare(*values).statistic)


def test_mean_ranks_of_regimes_are_tested_as_scores_that_are_permuted_within_datasets():
    rng = np.random.default_rng(4)
    shift = np.array([[0], [0.5], [1]])
    scores = np.mean([ranked(rng.normal(size=(3, 4)) + shift, higher=True) for _ in range(2)], axis=0)
    # The statistic grows with the spread of mean ranks: its tail by all 6 ** 4 permutations.
    orders = [list(order) for order in itertools.permutations(range(3))]
    shuffled = [
        np.stack([scores[order, i] for i, order in enumerate(chosen)], 1)
        for chosen in itertools.product(orders, repeat=4)
    ]
    statistics = np.array([friedman(one).chi_square for one in shuffled])
    spreads = np.array([one.mean(1).var() for one in shuffled])
    assert np.array_equal(np.argsort(statistics.round(9), kind="stable"), np.argsort(spreads.round(12), kind="stable"))
    assert statistics.mean() == pytest.approx(2)  # that of chi-square with k - 1 degrees of freedom
    found = friedman(scores)
    assert found.exact
    assert found.p == pytest.approx(np.mean(statistics >= found.chi_square - 1e-9))


def test_ties_on_few_datasets_do_not_make_friedmans_test_too_sure():
    ranks = np.array([[1.5, 1.5, 1.5], [1.5, 1.5, 2.0], [3.0, 3.0, 2.5]])
    found = friedman(ranks)
    assert stats.f.sf(found.f, 2, 4) < 0.05
    # The worst of the first dataset is that of the second one, and has the highest rank of the third one.
    assert found.p == pytest.approx(1 / 9)


@pytest.mark.parametrize(("methods", "datasets", "exact"), [(3, 6, True), (3, 7, False), (5, 3, True), (6, 3, False)])
def test_friedmans_test_is_exact_for_up_to_20000_permutations(methods, datasets, exact):
    assert friedman(ranked(np.random.default_rng(6).normal(size=(methods, datasets)), higher=True)).exact == exact


@pytest.mark.parametrize(("methods", "datasets"), [(2, 2), (3, 2), (3, 3), (2, 5)])
def test_no_p_of_friedman_is_below_the_share_of_rankings_that_agree(methods, datasets):
    orders = list(itertools.permutations(range(1, methods + 1)))
    same = [chosen for chosen in itertools.product(orders, repeat=datasets) if len(set(chosen)) == 1]
    found = friedman(np.tile(np.arange(1.0, methods + 1)[:, None], datasets))
    assert found.least == pytest.approx(len(same) / len(orders) ** datasets)
    assert found.p == pytest.approx(found.least)
    assert math.isinf(found.f)


def test_methods_that_are_ranked_alike_everywhere_have_no_statistic():
    assert math.isnan(friedman(np.full((3, 4), 2.0)).p)


@pytest.mark.parametrize(
    ("methods", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_difference_has_the_values_of_demsars_table_5(methods, q):
    expected = q * math.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=4e-4)


@pytest.mark.parametrize("methods", [2, 3, 5, 10, 27])
def test_the_critical_difference_is_exceeded_by_the_range_of_equal_methods_in_one_of_twenty_cases(methods):
    spread = critical_difference(methods, 9) / math.sqrt(methods * (methods + 1) / (12 * 9))  # of standard normals

    def with_lowest(value):
        above = stats.norm.cdf(value + spread) - stats.norm.cdf(value)
        return methods * stats.norm.pdf(value) * above ** (methods - 1)

    assert quad(with_lowest, -12, 12)[0] == pytest.approx(0.95, abs=1e-6)


def test_the_critical_difference_of_his_example_tells_two_pairs_apart_only_at_a_higher_level():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert alike(sorted(RANKS.mean(1)), critical_difference(4, 14)) == [(0, 3)]
    assert alike(sorted(RANKS.mean(1)), 1.12) == [(0, 2), (2, 3)]  # at 0.10


def test_methods_that_are_alike_are_joined_in_largest_groups():
    assert alike([1.0, 2.0, 3.0, 4.0], 1.5) == [(0, 1), (1, 2), (2, 3)]
    assert alike([1.0, 2.0, 4.0, 4.5], 1.5) == [(0, 1), (2, 3)]
    assert alike([1.0, 2.0], 1.0) == []
    assert alike([1.0, 1.1, 1.2, 4.0], 0.5) == [(0, 2)]


def test_the_signed_rank_test_of_demsars_example_has_his_rank_sums():
    gains = (AUC[1] - AUC[0]).round(3)
    ranks = stats.rankdata(np.abs(gains))
    # R+ = 93 and R- = 12 in Section 3.1.3, each with half of the ranks of the two differences of 0.
    halves = ranks[gains == 0].sum() / 2
    assert (ranks[gains > 0].sum() + halves, ranks[gains < 0].sum() + halves) == (93, 12)
    signs = np.array(list(itertools.product((1, -1), repeat=14))) @ (ranks * (gains != 0))
    assert signed_rank(gains) == pytest.approx(np.mean(np.abs(signs) >= 93 - 12))
    assert signed_rank(gains) < 0.05  # T = 12 is below the critical 21


def test_the_signed_rank_test_is_the_exact_one_of_scipy():
    rng = np.random.default_rng(5)
    for n in (3, 6, 12):
        gains = rng.normal(0.2, 1, n)
        assert signed_rank(gains) == pytest.approx(stats.wilcoxon(gains, method="exact").pvalue)
    many = rng.normal(0.2, 1, 40)
    assert signed_rank(many) == pytest.approx(stats.wilcoxon(many, method="exact").pvalue, abs=0.01)


@pytest.mark.parametrize("datasets", [1, 2, 5, 9])
def test_no_signed_rank_test_has_a_lower_p_than_when_all_datasets_agree(datasets):
    assert signed_rank(np.linspace(0.01, 0.02, datasets)) == least_signed_rank(datasets)


def test_methods_without_any_difference_do_not_differ():
    assert signed_rank(np.zeros(3)) == 1
    assert signed_rank(np.zeros(30)) == 1
