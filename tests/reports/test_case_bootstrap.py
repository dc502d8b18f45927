"""Intervals over seeds and test cases, compared with the closed form of the bootstrap variance and with simulations."""

import math

import numpy as np
import pytest
from scipy import stats
from support.made_runs import write_run

from albench.reports import load
from albench.reports.case_bootstrap import interval_over_cases, resampled_means
from albench.reports.replicates import Replicate
from albench.reports.report import all_tables

MANY = 100_000


def by_replicate(tables):
    """(splits, seeds, cases) values by replicate."""
    return {Replicate(seed, split): row for split, table in enumerate(tables) for seed, row in enumerate(table)}


def crossed_variance(table):
    """Variance of the mean of (r, c) values when rows and columns are resampled independently.

    Multinomial counts W of n values have E[W W^T] = (1 - 1/n) J + I.
    """
    r, c = table.shape
    rows, columns = ((1 - 1 / n) * np.ones((n, n)) + np.eye(n) for n in (r, c))
    return np.trace(rows @ table @ columns @ table.T) / (r * c) ** 2 - table.mean() ** 2


def effects(rng, seeds, cases, count, sd=(1.0, 1.0, 1.0)):
    """(count, seeds, cases) values of seeds, cases and what they have only together."""
    return (
        rng.normal(0, sd[0], (count, seeds, 1))
        + rng.normal(0, sd[1], (count, 1, cases))
        + rng.normal(0, sd[2], (count, seeds, cases))
    )


@pytest.mark.parametrize(("seeds", "cases"), [(5, 16), (3, 4), (2, 9), (1, 6), (6, 1)])
def test_the_variance_of_crossed_seeds_and_cases_is_the_closed_form(seeds, cases):
    (table,) = effects(np.random.default_rng(0), seeds, cases, 1) + 3
    means = resampled_means(by_replicate([table]), MANY)
    assert means.mean() == pytest.approx(table.mean(), abs=0.02)
    assert means.var() == pytest.approx(crossed_variance(table), rel=0.02)


def test_the_closed_form_is_that_of_owen():
    # Between rows, between columns, and three times what is left, each with n in the denominator: Theorem 2 of Owen.
    (table,) = effects(np.random.default_rng(1), 40, 50, 1)
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    approximate = table.mean(1).var() / 40 + table.mean(0).var() / 50 + left.var() / 2000
    assert crossed_variance(table) == pytest.approx(approximate, rel=0.01)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_variance_of_nested_splits_is_the_closed_form(seeds):
    rng = np.random.default_rng(2)
    tables = effects(rng, seeds, 7, 4) + rng.normal(0, 1, (4, 1, 1))
    means = resampled_means(by_replicate(tables), MANY)
    # The mean of independent draws of a split, each with its seeds and cases drawn anew.
    within = np.mean([crossed_variance(table) for table in tables])
    assert means.var() == pytest.approx((tables.mean((1, 2)).var() + within) / 4, rel=0.02)


def test_splits_may_have_other_numbers_of_test_cases():
    values = {Replicate(0, 0): np.array([1.0, 2.0]), Replicate(0, 1): np.array([4.0, 5.0, 6.0])}
    assert resampled_means(values, MANY).mean() == pytest.approx((1.5 + 5) / 2, abs=0.02)


@pytest.mark.parametrize(
    ("seeds", "cases", "sd"),
    [(5, 16, (0.3, 1.0, 0.5)), (5, 16, (1.0, 0.3, 0.5)), (3, 16, (1.0, 1.0, 1.0)), (5, 8, (0.0, 1.0, 1.0))],
)
def test_nine_of_ten_intervals_contain_the_true_mean(seeds, cases, sd):
    made = effects(np.random.default_rng(3), seeds, cases, 300, sd)
    found = [interval_over_cases(by_replicate([table])) for table in made]
    assert np.mean([low <= 0 <= high for low, high in found]) >= 0.92


def test_an_interval_over_seeds_alone_does_not_hold_over_cases():
    made = effects(np.random.default_rng(4), 5, 16, 300, (0.3, 1.0, 0.5))
    means, sd = made.mean((1, 2)), made.mean(2).std(1, ddof=1)
    assert np.mean(np.abs(means) <= 2.776 * sd / math.sqrt(5)) < 0.8


@pytest.mark.parametrize(("seeds", "cases"), [(5, 16), (3, 4), (2, 9)])
def test_the_interval_is_that_of_student_around_the_mean(seeds, cases):
    (table,) = effects(np.random.default_rng(5), seeds, cases, 1)
    sources = [(table.mean(axis).var(ddof=1) / n, n) for axis, n in ((1, seeds), (0, cases))]
    total, narrowed = sum(v for v, _ in sources), sum(v * (n - 1) / n for v, n in sources)
    freedom = total**2 / sum(v**2 / (n - 1) for v, n in sources)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(crossed_variance(table) * total / narrowed)
    half = max(half, *(stats.t.ppf(0.975, n - 1) * math.sqrt(v) for v, n in sources))
    low, high = interval_over_cases(by_replicate([table]))
    assert (low + high) / 2 == pytest.approx(table.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize("sd", [(1.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 0.1, 0.1), (0.1, 1.0, 0.1)])
def test_an_interval_over_seeds_and_cases_is_no_shorter_than_one_over_seeds(sd):
    for table in np.exp(effects(np.random.default_rng(6), 5, 16, 50, sd)):  # skewed
        low, high = interval_over_cases(by_replicate([table]))
        over_seeds = stats.ttest_1samp(table.mean(1), 0).confidence_interval(0.95)
        assert high - low >= over_seeds.high - over_seeds.low - 1e-12


def test_an_interval_over_splits_is_no_shorter_than_one_over_their_means():
    rng = np.random.default_rng(7)
    for _ in range(20):
        tables = np.exp(effects(rng, 1, 7, 4) + rng.normal(0, 1, (4, 1, 1)))
        low, high = interval_over_cases(by_replicate(tables))
        over_splits = stats.ttest_1samp(tables.mean((1, 2)), 0).confidence_interval(0.95)
        assert low <= over_splits.low + 1e-12
        assert high >= over_splits.high - 1e-12


def test_one_seed_or_one_case_has_no_interval():
    for table in (np.ones((1, 5)), np.ones((5, 1)), np.full((3, 3), np.nan)):
        assert np.isnan(interval_over_cases(by_replicate([table]))).all()


def test_equal_values_have_an_interval_without_width():
    assert interval_over_cases(by_replicate([np.full((3, 4), 0.25)])) == pytest.approx((0.25, 0.25))


@pytest.fixture
def two(tmp_path):
    """Star is ahead by 0.1 on average, and by more on the first of four test cases."""
    for seed in range(3):
        write_run(tmp_path, "random", seed, [0.3, 0.4, 0.5], cases=4, offsets=[-0.1, 0.0, 0.0, 0.1])
        dice = [0.3, 0.5 + 0.01 * seed, 0.6 + 0.01 * seed]
        write_run(tmp_path, "star", seed, dice, cases=4, offsets=[0.2, -0.1, 0.0, -0.1])
    return tmp_path


def test_the_mean_area_of_cases_is_the_area(two):
    (group,) = load(two).groups
    for label, areas in group.areas.items():
        for replicate, value in areas.items():
            assert group.areas_of_cases[label][replicate].mean() == pytest.approx(value)
    assert group.areas_of_cases["random"][Replicate(0, 0)] == pytest.approx([0.35, 0.45, 0.45, 0.55])


def test_differences_have_an_interval_over_seeds_and_cases(two):
    row = load(two).differences().set_index(["kind", "label"]).loc["baseline", "star"]
    gains = 0.1 + 0.01 * np.arange(3)[:, None] + np.array([0.3, -0.1, 0.0, -0.2])
    assert row["gain"] == pytest.approx(gains.mean())
    assert (row["cases_low"], row["cases_high"]) == pytest.approx(interval_over_cases(by_replicate([gains])))
    assert row["cases_low"] < 0 < row["low"]  # ahead on these cases, which need not be so on others
    tables = {table.name: table for table in all_tables(load(two))}
    (star,) = tables["differences-baseline-made"].rows
    assert star.cells[4].text == f"[{row['cases_low']:+.4f}, {row['cases_high']:+.4f}]"


@pytest.mark.parametrize("metric", ["dice_slice", "val_dice_volume"])
def test_a_metric_that_is_no_mean_over_test_cases_has_no_such_interval(two, metric):
    results = load(two, metric=metric)
    assert results.differences()[["cases_low", "cases_high"]].isna().all(axis=None)
    tables = {table.name: table for table in all_tables(results)}
    assert any("is not a mean over test cases" in text for text in tables["differences-baseline-made"].caption)
