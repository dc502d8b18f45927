"""Foreground efficiency and speed-up, compared with curves whose rate and factor are known."""

import math

import numpy as np
import pytest
from support.made_runs import write_run
from support.simulated_curves import SHARES, TRUTHS, replicates

from albench.reports import load, resampling
from albench.reports.curve import Curve
from albench.reports.foreground_efficiency import closing_rate
from albench.reports.report import all_tables
from albench.reports.speedup import speedup


def curve(labeled, *rows):
    labeled = np.array(labeled, dtype=float)
    return Curve(replicates(len(rows)), labeled, labeled / 1000, np.array(rows, dtype=float))


def numbers(folder, label, **options):
    frame = load(folder, **options).efficiency()
    return frame[frame["label"] == label].iloc[0]


@pytest.mark.parametrize("gamma", [0.5, 3.0, 40.0, -2.0])
@pytest.mark.parametrize(("full", "first"), [(0.9, 0.5), (0.5, 0.9), (3.0, 12.0)])
def test_the_rate_of_an_exponential_curve_is_found(gamma, full, first):
    x = np.array([0.05, 0.1, 0.12, 0.2, 0.35])
    y = full - (full - first) * np.exp(-gamma * (x - x[0]))
    assert closing_rate(x, y, full) == pytest.approx(gamma, rel=1e-5)


def test_the_rate_is_the_one_of_least_squares():
    rng = np.random.default_rng(0)
    x = np.linspace(0.1, 0.4, 17)
    y = 0.85 - 0.25 * np.exp(-8 * (x - 0.1)) + rng.normal(0, 0.01, 17)
    grid = np.linspace(4, 14, 20_001)
    fits = 0.85 - (0.85 - y[0]) * np.exp(-grid[:, None] * (x - x[0]))
    best = grid[((fits - y) ** 2).sum(1).argmin()]
    assert closing_rate(x, y, 0.85) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "full"),
    [
        ([0.1], [0.5], 0.9),
        ([0.1, 0.1], [0.5, 0.6], 0.9),  # no foreground was annotated
        ([0.1, 0.2], [0.9, 0.9], 0.9),  # no gap
        ([0.1, 0.2], [0.5, np.nan], 0.9),
        ([0.1, 0.2], [0.5, 0.6], np.nan),
        ([np.nan, np.nan], [0.5, 0.6], 0.9),
        ([0.1, 0.2, 0.3], [0.5, 0.95, 0.95], 0.9),  # the larger, the better
    ],
)
def test_a_rate_that_is_not_determined_is_missing(x, y, full):
    assert math.isnan(closing_rate(np.array(x), np.array(y), full))


def test_foreground_efficiency_is_per_foreground_of_the_pool(tmp_path):
    foreground, pool, gamma = np.array([200, 300, 450, 700]), 2000, 5.0
    dice = 0.8 - 0.4 * np.exp(-gamma * (foreground - 200) / pool)
    for seed in range(2):
        write_run(tmp_path, "random", seed, dice.tolist(), foreground=foreground.tolist())
    assert math.isnan(numbers(tmp_path, "random")["foreground_efficiency"])
    write_run(tmp_path, "full", 0, [0.8], foreground=[pool], rounds=3)
    assert numbers(tmp_path, "random")["foreground_efficiency"] == pytest.approx(gamma, rel=1e-5)


def test_every_split_is_compared_with_its_own_pool(tmp_path):
    foreground, gamma = np.array([200, 300, 450, 700]), 5.0
    dice = (0.8 - 0.4 * np.exp(-gamma * (foreground - 200) / 2000)).tolist()
    for split, factor in enumerate([1, 3]):
        settings = {"protocol.splits": 2, "protocol.split_seed": split}
        write_run(tmp_path, "random", 0, dice, foreground=(factor * foreground).tolist(), settings=settings)
        if split == 1:
            assert math.isnan(numbers(tmp_path, "random")["foreground_efficiency"])
        write_run(tmp_path, "full", 0, [0.8], foreground=[factor * 2000], rounds=3, settings=settings)
    assert numbers(tmp_path, "random")["foreground_efficiency"] == pytest.approx(gamma, rel=1e-5)


def test_a_method_that_needs_half_the_labels_has_a_speedup_of_2():
    labeled = np.arange(100, 501, 50)
    baseline, ahead = curve(labeled, np.log(labeled)), curve(labeled, np.log(2 * labeled))
    assert speedup(ahead, baseline, higher=True).factor == pytest.approx(2)  # by equal budgets
    assert speedup(baseline, ahead, higher=True).factor == pytest.approx(1 / 2)
    # What the baseline has with 500 labels is beyond the last round of a shorter curve: 400 and 200 are compared.
    shorter = curve(labeled[:3], np.log(2 * labeled[:3]))
    assert speedup(shorter, baseline, higher=True).factor == pytest.approx(2)
    assert speedup(baseline, baseline, higher=True).factor == 1


def test_the_speedup_is_read_between_rounds_of_monotone_mean_curves():
    baseline = curve([100, 200, 300], [0.4, 0.8, 0.6], [0.6, 0.8, 1.0])  # means 0.5, 0.8, 0.8
    assert speedup(curve([100, 150], [0.5, 0.65]), baseline, higher=True).factor == pytest.approx(1)
    dented = curve([100, 200, 300, 400], [0.5, 0.8, 0.6, 0.9])  # monotone: 0.5, 0.7, 0.7, 0.9
    straight = curve([100, 200], [0.5, 0.8])
    assert speedup(straight, dented, higher=True).factor == pytest.approx(350 / 200)
    falling = curve([100, 200, 300], [0.5, 0.9, 0.7])  # monotone: 0.5, 0.8, 0.8
    assert speedup(falling, dented, higher=True).factor == pytest.approx(350 / 200)


def test_a_value_at_which_a_curve_begins_has_no_speedup():
    baseline = curve([100, 200], [0.5, 0.8])
    assert math.isnan(speedup(curve([100, 200], [0.5, 0.4]), baseline, higher=True).factor)
    assert math.isnan(speedup(baseline, curve([100, 200], [0.5, 0.4]), higher=True).factor)
    assert speedup(curve([100, 200], [0.5, 0.5]), baseline, higher=True).factor == 1


def test_lower_distances_are_reached_downwards_and_missing_values_give_nothing():
    baseline = curve([100, 200, 300], [9.0, 7.0, 5.0])
    assert speedup(curve([100, 200], [9.0, 6.0]), baseline, higher=False).factor == pytest.approx(1.25)
    assert math.isnan(speedup(curve([100, 200], [9.0, np.nan]), baseline, higher=False).factor)
    assert math.isnan(speedup(baseline, curve([100, 200], [np.nan, 1.0]), higher=False).factor)


def test_exchanging_method_and_baseline_gives_the_reciprocal():
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = (curve([100, 150, 200, 250], *rng.normal([0.5, 0.6, 0.7, 0.8], 0.02, (3, 4))) for _ in range(2))
        ahead, behind = speedup(one, other, higher=True), speedup(other, one, higher=True)
        assert ahead.factor * behind.factor == pytest.approx(1)
        assert ahead.low * behind.high == pytest.approx(1, rel=0.02)  # but for how quantiles are rounded


def ahead_of_another(truth, gain, count, rounds=17):
    """Studies of two methods of which one has with any number of labels what the other has with more of them."""
    rng, own, shares = np.random.default_rng(1), replicates(5), SHARES[:rounds]
    for _ in range(count):
        start, common = rng.normal(0, 0.01, (5, 1)), rng.normal(0, 0.01, (5, 1))  # of the shared round 0, and of a seed
        made = []
        for factor in (gain, 1):
            noise = np.hstack([start, rng.normal(0, 0.01, (5, rounds - 1))])
            values = truth.at(SHARES[0] + factor * (shares - SHARES[0])) + common + noise
            made.append(Curve(own, 1000 * shares, shares, values))
        yield made


@pytest.fixture
def fewer(monkeypatch):
    """Fewer resamples than in a report, as many studies are made."""
    monkeypatch.setattr(resampling, "RESAMPLES", 300)


@pytest.mark.parametrize("name", TRUTHS)
def test_equal_methods_have_a_speedup_of_1_on_average_and_an_interval_that_contains_it(fewer, name):
    found = [speedup(*pair, higher=True) for pair in ahead_of_another(TRUTHS[name], 1, 100)]
    assert np.exp(np.mean([np.log(one.factor) for one in found])) == pytest.approx(1, abs=0.02)
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= 0.95


def true_factor(gain):
    """Of equal budgets: the baseline in its last round, and the method where it has the same value."""
    last = SHARES[-1]
    return last / (SHARES[0] + (last - SHARES[0]) / gain)


@pytest.mark.parametrize(
    ("name", "reached", "certain"),
    [("slow", 0.98, 0.95), ("straight", 0.98, 0.95), ("medium", 0.95, 0.4), ("fast", 0.8, 0), ("flat", 0.8, 0)],
)
def test_a_true_gain_is_found_with_an_interval(fewer, name, reached, certain):
    true = true_factor(1.5)
    assert true == pytest.approx(1.3, abs=0.01)
    found = [speedup(*pair, higher=True) for pair in ahead_of_another(TRUTHS[name], 1.5, 100)]
    assert reached * true <= np.exp(np.mean([np.log(one.factor) for one in found])) <= 1.01 * true
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.85
    assert np.mean([one.low > 1 for one in found]) >= certain


def test_resamples_without_a_speedup_may_have_any():
    rng, flat = np.random.default_rng(2), np.array([0.5, 0.5, 0.5, 0.505])
    one, other = (curve([100, 150, 200, 250], *rng.normal(flat, 0.005, (3, 4))) for _ in range(2))
    found = speedup(one, other, higher=True)
    assert found.factor > 0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_table_shows_the_speedup_with_its_interval_and_none_of_the_baseline_itself(tmp_path):
    for seed, shift in enumerate([-0.01, 0.0, 0.01]):
        write_run(tmp_path, "random", seed, [0.5, 0.6 + shift, 0.7])
        write_run(tmp_path, "star", seed, [0.5, 0.7 + shift, 0.8])
        write_run(tmp_path, "entropy", seed, [0.5, 0.6, 0.65])
    (table,) = (table for table in all_tables(load(tmp_path)) if table.name == "efficiency-made")
    column = [one.title for one in table.columns].index("speed-up")
    found = {row.cells[0].text: row.cells[column] for row in table.rows}
    # star has 0.7 with 15 labels; random has 0.65 with 17.5.
    assert [found[name].text for name in ("random", "star", "entropy")] == ["n/a", f"{20 / 15:.2f}", f"{17.5 / 20:.2f}"]
    star = numbers(tmp_path, "star")
    assert 1 < star["speedup_low"] < star["speedup"] < star["speedup_high"] < 2
    assert found["star"].spread_text == f"[{star['speedup_low']:.2f}, {star['speedup_high']:.2f}]"
    assert any(text.startswith("Speed-up: labels with which random reaches") for text in table.caption)
    write_run(tmp_path / "alone", "star", 0, [0.5, 0.7])
    assert math.isnan(numbers(tmp_path / "alone", "star")["speedup"])
