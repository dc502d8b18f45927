"""The bootstrap over splits and seeds, and monotone regression, compared with closed forms and scikit-learn."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from support.simulated_curves import replicates

from albench.reports import resampling
from albench.reports.isotonic import first_reach, increasing
from albench.reports.replicates import Replicate
from albench.reports.resampling import enlargement, interval, resampled, unbiased


@pytest.fixture
def many(monkeypatch):
    """So many resamples that their variance is known to 2 %."""
    monkeypatch.setattr(resampling, "RESAMPLES", 50_000)


def test_the_variance_of_resampled_means_is_that_with_n_in_the_denominator(many):
    values = np.random.default_rng(0).normal(0, 1, 5)
    means = resampled(replicates(5)) @ values
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.var() == pytest.approx(values.var() / 5, rel=0.03)
    assert means.var() * unbiased(5) ** 2 == pytest.approx(values.var(ddof=1) / 5, rel=0.03)


def test_splits_are_resampled_first_and_seeds_within_them(many):
    table = np.random.default_rng(1).normal(0, 1, (3, 4)) + np.array([[0.0], [2.0], [5.0]])  # (splits, seeds)
    own = tuple(Replicate(seed, split) for seed in range(4) for split in range(3))
    means = resampled(own) @ np.array([table[one.split, one.seed] for one in own])
    # Three independent draws of the mean of four draws from one split.
    assert means.var() == pytest.approx((table.mean(1).var() + table.var(1).mean() / 4) / 3, rel=0.03)


def test_splits_may_have_different_numbers_of_seeds():
    own = (Replicate(0, 0), Replicate(0, 1), Replicate(1, 0), Replicate(2, 0))
    weights = resampled(own)
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)))
    both_of_one = (weights[:, 1] == 1).mean()  # split 1 alone, whose only seed has all the weight
    assert both_of_one == pytest.approx(1 / 4, abs=0.05)


def test_methods_are_resampled_in_pairs_as_far_as_they_have_the_same_seeds_and_splits():
    own = replicates(4)
    assert (resampled(own) == resampled(own, beside=own)).all()
    apart = resampled(replicates(4, first=4), beside=own)
    assert abs(np.corrcoef(resampled(own)[:, 0], apart[:, 0])[0, 1]) < 0.1
    crossed, fewer = replicates(4, splits=2), replicates(3, splits=2)
    split = [replicate.split == 0 for replicate in crossed]
    beside = [replicate.split == 0 for replicate in fewer]
    of_splits = resampled(crossed)[:, split].sum(1), resampled(fewer, beside=crossed)[:, beside].sum(1)
    assert of_splits[0] == pytest.approx(of_splits[1])


def test_the_enlarged_interval_of_a_mean_is_about_the_t_interval(many):
    assert enlargement((1.0, 5)) == pytest.approx(math.sqrt(5 / 4) * stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975))
    assert enlargement((1.0, 5)) == pytest.approx(1.584, abs=1e-3)
    half = np.random.default_rng(3).normal(0, 1, 6)
    values = np.concatenate([half, -half]) + 0.1  # symmetric, as the t interval is
    means = resampled(replicates(12)) @ values
    low, high = interval(values.mean() + enlargement((1.0, 12)) * (means - values.mean()))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.05)


def test_sources_of_variance_are_combined_as_by_satterthwaite():
    # Welch's test of two samples has these degrees of freedom.
    one, other = np.random.default_rng(4).normal(0, 1, 5), np.random.default_rng(5).normal(0, 3, 9)
    sources = [(sample.var(ddof=1) / len(sample), len(sample)) for sample in (one, other)]
    freedom = stats.ttest_ind(one, other, equal_var=False).df
    narrow = math.sqrt(sum(variance * (n - 1) / n for variance, n in sources))
    wide = math.sqrt(sum(variance for variance, _ in sources))
    t = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    assert enlargement(*sources) == pytest.approx(t * wide / narrow)
    assert enlargement((0.0, 5), (2.0, 7)) == pytest.approx(enlargement((1.0, 7)))
    assert enlargement((1.0, 1)) == enlargement((0.0, 5)) == unbiased(1) == 1


@pytest.mark.parametrize("rounds", [1, 2, 17])
def test_monotone_curves_are_those_of_scikit_learn(rounds):
    values = np.random.default_rng(6).normal(0, 1, (20, rounds)).round(1) + 0.05 * np.arange(rounds)
    expected = [IsotonicRegression().fit_transform(np.arange(rounds), row) for row in values]
    assert increasing(values) == pytest.approx(np.array(expected))


def test_a_curve_with_a_missing_value_has_no_monotone_one():
    fitted = increasing(np.array([[1.0, np.nan, 3.0], [1.0, 0.0, 3.0]]))
    assert np.isnan(fitted[0]).all()
    assert fitted[1].tolist() == [0.5, 0.5, 3]


def test_a_curve_reaches_a_value_between_rounds():
    at = np.array([0.1, 0.2, 0.4])
    curves = np.array([[0.0, 1.0, 3.0]] * 6)
    found = first_reach(at, curves, np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.5]))
    assert found.tolist() == pytest.approx([0.1, 0.1, 0.15, 0.2, 0.3, math.inf])
    assert first_reach(at, np.array([[0.0, 1.0, 1.0]]), np.array([1.0])).tolist() == [0.2]
