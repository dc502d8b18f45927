"""Foreground efficiency and speed-up, compared with curves whose rate and factor are known."""

import math

import numpy as np
import pytest
from support.made_runs import write_run
from support.simulated_curves import replicates

from albench.reports import load
from albench.reports.curve import Curve
from albench.reports.foreground_efficiency import closing_rate
from albench.reports.report import all_tables
from albench.reports.speedup import Speedup, speedup


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
    baseline = curve(labeled, np.log(labeled))
    ahead = curve(labeled[:4], np.log(2 * labeled[:4]))  # has with 250 labels what the baseline has with 500
    assert speedup(ahead, baseline, higher=True) == Speedup(pytest.approx(2), "")
    assert speedup(ahead, curve(labeled[:-1], np.log(labeled[:-1])), higher=True) == Speedup(450 / 250, ">")
    behind = curve(labeled, np.log(labeled / 2))
    assert speedup(behind, baseline, higher=True) == Speedup(pytest.approx(0.5), "")


def test_the_speedup_is_read_between_rounds_of_the_monotone_mean_curve():
    baseline = curve([100, 200, 300], [0.4, 0.8, 0.6], [0.6, 0.8, 1.0])  # means 0.5, 0.8, 0.8
    assert speedup(curve([100, 150], [0.5, 0.65]), baseline, higher=True) == Speedup(pytest.approx(1.0), "")
    dented = curve([100, 200, 300, 400], [0.5, 0.8, 0.6, 0.9])  # monotone: 0.5, 0.7, 0.7, 0.9
    assert speedup(curve([100, 200], [0.5, 0.8]), dented, higher=True).factor == pytest.approx(350 / 200)


def test_a_method_that_ends_below_the_beginning_of_the_baseline_has_an_upper_bound():
    baseline = curve([100, 200], [0.5, 0.8])
    assert speedup(curve([100, 200], [0.5, 0.4]), baseline, higher=True) == Speedup(0.5, "<")
    assert speedup(curve([100, 200], [0.5, 0.5]), baseline, higher=True) == Speedup(0.5, "")


def test_lower_distances_are_reached_downwards_and_missing_values_give_nothing():
    baseline = curve([100, 200, 300], [9.0, 7.0, 5.0])
    assert speedup(curve([100, 200], [9.0, 6.0]), baseline, higher=False) == Speedup(1.25, "")
    assert math.isnan(speedup(curve([100, 200], [9.0, np.nan]), baseline, higher=False).factor)
    assert math.isnan(speedup(baseline, curve([100, 200], [np.nan, 1.0]), higher=False).factor)


def test_the_table_shows_bounds_and_no_speedup_of_the_baseline_itself(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])
    write_run(tmp_path, "star", 0, [0.5, 0.7, 0.8])
    write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.65])
    (table,) = (table for table in all_tables(load(tmp_path)) if table.name == "efficiency-made")
    column = [one.title for one in table.columns].index("speed-up")
    found = {row.cells[0].text: row.cells[column].text for row in table.rows}
    assert found == {"random": "n/a", "star": "> 1.00", "entropy": f"{17.5 / 20:.2f}"}
    assert any(text.startswith("Speed-up: labels with which random reaches") for text in table.caption)
    write_run(tmp_path / "alone", "star", 0, [0.5, 0.7])
    assert math.isnan(numbers(tmp_path / "alone", "star")["speedup"])
