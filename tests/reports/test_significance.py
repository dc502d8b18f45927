"""Differences, tests, wins and ranks, compared with scipy, brute force and calculations by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from support.made_runs import write_run

from albench.reports import load
from albench.reports.curve import Curve
from albench.reports.replicates import Replicate
from albench.reports.significance import holm, paired, ranks, sign_flip, wins


def curve(*rows, seeds=None):
    values = np.array(rows, dtype=float)
    labeled = 10.0 + 5 * np.arange(values.shape[1])
    return Curve(tuple(Replicate(seed, 0) for seed in seeds or range(len(rows))), labeled, labeled / 100, values)


def by_seed(values):
    """{replicate: value} of seeds 0, 1, ... on one split."""
    return {Replicate(seed, 0): float(value) for seed, value in enumerate(values)}


def on_one_split(scores):
    """{method: {seed: value}} with replicates instead of seeds."""
    return {method: {Replicate(seed, 0): value for seed, value in own.items()} for method, own in scores.items()}


def test_the_paired_t_test_and_its_interval_are_those_of_scipy():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.81, 0.02, 5), rng.normal(0.8, 0.02, 5)
    found, expected = paired(by_seed(one - other)), stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert (found.t, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high))
    assert found.difference == pytest.approx((one - other).mean())


def test_the_sign_flip_test_is_that_of_scipy_and_of_brute_force():
    rng = np.random.default_rng(1)
    for n in (2, 3, 5, 8):
        differences = rng.normal(0.01, 0.02, n)
        flipped = [np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=n)]
        brute = np.mean(np.abs(flipped) >= abs(differences.sum()) - 1e-12)
        theirs = stats.permutation_test(
            (differences, np.zeros(n)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flip(differences) == pytest.approx(brute)
        assert sign_flip(differences) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_least_p_is_that_of_the_sign_flip_test_when_all_seeds_agree(n):
    found = paired(by_seed(np.linspace(0.01, 0.02, n)))
    assert found.flip == found.least == 2 / 2**n


def test_one_seed_has_a_difference_and_no_test():
    found = paired(by_seed([0.02]))
    assert (found.units, found.unit, found.difference) == (1, "seed", 0.02)
    assert all(math.isnan(value) for value in (found.low, found.high, found.t, found.flip, found.least))
    assert math.isnan(paired({}).difference)


def test_equal_differences_have_no_t_test_but_a_sign_flip_test():
    found = paired(by_seed([0.01, 0.01, 0.01]))
    assert math.isnan(found.t)
    assert math.isnan(found.low)
    assert found.flip == 0.25
    assert paired(by_seed(np.zeros(3))).flip == 1


def test_the_sign_flip_test_is_left_out_for_more_than_16_seeds():
    assert math.isnan(sign_flip(np.linspace(0, 1, 17)))


def test_holms_correction_is_the_one_calculated_by_hand():
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 is less than 0.06, so 0.06 stays; 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1])


def test_wins_count_pairs_of_seed_and_round_after_round_0_with_ties_half():
    one, other = curve([9, 1, 2, 3], [9, 1, 1, 1]), curve([0, 0, 2, 4], [0, 2, 0, 0])
    # Seed 0: win, tie, loss; seed 1: loss, win, win.
    assert wins(one, other, higher=True) == pytest.approx(3.5 / 6)
    assert wins(other, one, higher=True) == pytest.approx(2.5 / 6)
    assert wins(one, other, higher=False) == pytest.approx(2.5 / 6)


def test_wins_need_a_common_seed_and_values():
    assert math.isnan(wins(curve([1, 2], seeds=[0]), curve([1, 2], seeds=[1]), higher=True))
    assert math.isnan(wins(curve([1, np.nan]), curve([1, 2]), higher=True))
    assert math.isnan(wins(curve([1]), curve([1]), higher=True))


def test_mean_ranks_and_the_effect_of_one_seed_on_them():
    scores = {"a": {0: 0.9, 1: 0.5, 2: 0.9}, "b": {0: 0.8, 1: 0.7, 2: 0.8}, "c": {0: 0.8, 1: 0.1, 2: 0.1, 3: 1.0}}
    found = ranks(on_one_split(scores), higher=True)
    # Ranks by seed: a 1, 2, 1; b 2.5, 1, 2; c 2.5, 3, 3. Seed 3 is not common to all.
    assert (found.units, found.unit) == (3, "seed")
    assert found.mean == pytest.approx({"a": 4 / 3, "b": 5.5 / 3, "c": 8.5 / 3})
    assert found.low == pytest.approx({"a": 1, "b": 1.5, "c": 2.75})
    assert found.high == pytest.approx({"a": 1.5, "b": 2.25, "c": 3})
    # Without seed 0 or 2: a 1.5, b 1.5 or 1.75.
    assert found.first == {"a", "b"}


def test_lower_distances_rank_first_and_ranks_need_a_common_seed():
    assert ranks(on_one_split({"a": {0: 2.0}, "b": {0: 1.0}}), higher=False).mean == {"a": 2, "b": 1}
    assert math.isnan(ranks(on_one_split({"a": {0: 2.0}, "b": {0: 1.0}}), higher=False).low["a"])
    assert ranks(on_one_split({"a": {0: 2.0}, "b": {1: 1.0}}), higher=True) is None
    assert ranks(on_one_split({"a": {0: math.nan}, "b": {0: 1.0}}), higher=True) is None


@pytest.fixture
def three(tmp_path):
    """Three methods; entropy lacks seed 2."""
    for seed in range(3):
        write_run(tmp_path, "random", seed, [0.1 * seed, 0.5, 0.5 + 0.01 * seed])
        write_run(tmp_path, "star", seed, [0.1 * seed, 0.5, 0.7 + 0.02 * seed])
        if seed < 2:
            write_run(tmp_path, "entropy", seed, [0.1 * seed, 0.5, 0.6 + 0.03 * seed])
    return tmp_path


def test_differences_are_paired_over_common_seeds_and_positive_for_the_better(three):
    found = load(three).differences().set_index(["kind", "label"])
    # AUBC from round 1 is (0.5 + last) / 2: star minus random 0.1, 0.105, 0.11; entropy minus random 0.05, 0.06.
    star, entropy = found.loc["baseline", "star"], found.loc["baseline", "entropy"]
    assert (star["rival"], star["units"], star["gain"]) == ("random", 3, pytest.approx(0.105))
    assert (entropy["units"], entropy["gain"], entropy["least"]) == (2, pytest.approx(0.055), 0.5)
    assert star["t"] == pytest.approx(stats.ttest_1samp([0.1, 0.105, 0.11], 0).pvalue)
    assert star["t_holm"] == pytest.approx(2 * star["t"])
    assert found.loc["best rival", "star"]["rival"] == "random"  # entropy is not complete
    assert found.loc["best rival", "entropy"]["rival"] == "star"


def test_the_correction_for_best_rivals_counts_a_pair_once(three):
    found = load(three).differences()
    rivals = found[found["kind"] == "best rival"].set_index("label")
    # random and star, entropy and star: two pairs in three rows.
    lowest = rivals["flip"].min()
    assert rivals["flip_holm"].min() == pytest.approx(min(1, 2 * lowest))
    assert rivals.loc["star", "flip_holm"] == rivals.loc["random", "flip_holm"]


def test_a_shorter_distance_is_a_gain(three):
    found = load(three, metric="hd95").differences().set_index(["kind", "label"])
    star = found.loc["baseline", "star"]
    assert star["gain"] == pytest.approx(10 * 0.105)
    assert star["cases_low"] < star["gain"] < star["cases_high"]


def test_another_baseline_can_be_chosen(three):
    found = load(three, baseline="star").differences()
    assert set(found[found["kind"] == "baseline"]["rival"]) == {"star"}
