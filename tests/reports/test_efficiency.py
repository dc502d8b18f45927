"""Learning curves chosen so that their numbers can be calculated by hand."""

import math

import numpy as np
import pytest
from support.made_runs import write_run
from support.simulated_curves import replicates

from albench.reports import load
from albench.reports.curve import Curve
from albench.reports.efficiency import (
    area,
    at_share,
    best_per_replicate,
    best_round,
    common_range,
    median_interval,
    reached,
)
from albench.reports.tables.efficiency import efficiency_table

NEVER = math.inf


def curve(*rows, start=10, step=5):
    values = np.array(rows, dtype=float)
    labeled = start + step * np.arange(values.shape[1], dtype=float)
    return Curve(replicates(len(rows)), labeled, labeled / 100, values)


def numbers(folder, label, **options):
    frame = load(folder, **options).efficiency()
    return frame[frame["label"] == label].iloc[0]


def test_the_maximum_is_that_of_the_seed_mean_and_has_the_deviation_of_its_round(tmp_path):
    for seed, dice in enumerate([(0.5, 0.9, 0.7, 0.6), (0.5, 0.5, 0.8, 0.9)]):
        write_run(tmp_path, "random", seed, dice)
    row = numbers(tmp_path, "random")
    # Seed means: 0.5, 0.7, 0.75, 0.75. The first of equals, at 20 %: 0.7 and 0.8 deviate by 0.1 / sqrt(2).
    assert (row["max"], row["max_share"]) == (pytest.approx(0.75), pytest.approx(0.2))
    assert row["max_sd"] == pytest.approx(0.1 / math.sqrt(2))
    # The maximum of each seed is 0.9: the mean of the maxima is optimistically biased.
    assert (row["mean_of_max"], row["mean_of_max_sd"]) == (pytest.approx(0.9), pytest.approx(0))
    assert (row["final"], row["final_sd"]) == (pytest.approx(0.75), pytest.approx(0.3 / math.sqrt(2)))
    assert row["at_20_sd"] == pytest.approx(0.1 / math.sqrt(2))


def test_the_lowest_distance_is_the_best(tmp_path):
    for seed, dice in enumerate([(0.5, 0.9, 0.7), (0.5, 0.7, 0.7)]):
        write_run(tmp_path, "random", seed, dice)
        write_run(tmp_path, "full", seed, [0.75], rounds=2)
    row = numbers(tmp_path, "random", metric="hd95")
    # hd95 is 10 (1 - dice): 5, then 1 and 3, then 3; the reference is 2.5.
    assert (row["max"], row["max_share"]) == (pytest.approx(2), pytest.approx(0.15))
    assert row["mean_of_max"] == pytest.approx((1 + 3) / 2)
    assert (row["reference"], row["reach"], row["reach_sustained"]) == (2.5, pytest.approx(0.15), NEVER)
    assert (row["reach_near"], row["reach_replicates"]) == (pytest.approx(0.15), 1)


def test_the_columns_take_the_nearest_round_and_give_its_exact_share(tmp_path):
    write_run(tmp_path, "random", 0, [0.1, 0.2, 0.3, 0.4], labeled=[11, 16, 22, 27])
    row = numbers(tmp_path, "random")
    assert [row[f"at_{share}"] for share in (15, 20, 25)] == [0.2, 0.3, 0.4]
    assert [row[f"at_{share}_share"] for share in (15, 20, 25)] == [0.16, 0.22, 0.27]
    # The largest step is 6 points: 30 % lies 3 beyond the last round, and no farther.
    assert row["at_30"] == 0.4
    write_run(tmp_path / "shorter", "random", 0, [0.1, 0.2, 0.3], labeled=[11, 16, 22])
    row = numbers(tmp_path / "shorter", "random")
    assert row["at_25"] == 0.3
    assert math.isnan(row["at_30"])
    assert math.isnan(row["at_30_share"])


def test_a_share_more_than_half_a_step_beyond_the_rounds_has_no_round():
    steps = curve([0.1, 0.2, 0.3], start=20, step=4)  # 20, 24, 28 %
    assert [at_share(steps, share) for share in (0.17, 0.18, 0.30, 0.31)] == [None, 0, 2, None]


def test_the_earlier_of_two_equally_near_rounds_counts():
    assert at_share(curve([0.1, 0.2, 0.3], start=10, step=10), 0.15) == 0
    assert at_share(curve([0.1], start=10), 0.15) is None


@pytest.mark.parametrize(
    ("rows", "mean", "sustained", "near", "median", "seeds"),
    [
        # Seed means 0.5, 0.8, 0.9: a value equal to the reference reaches it.
        (([0.4, 0.7, 0.9], [0.6, 0.9, 0.9]), 0.15, 0.15, 0.15, (0.2 + 0.15) / 2, 2),
        # Reached at 15 %, lost at 20 %, reached again at 25 %.
        (([0.5, 0.8, 0.7, 0.9],), 0.15, 0.25, 0.15, 0.15, 1),
        # Reached and lost for good.
        (([0.9, 0.85, 0.5],), 0.10, NEVER, 0.10, 0.10, 1),
        # Never, but within 0.05 at 20 %.
        (([0.5, 0.7, 0.76],), NEVER, NEVER, 0.20, NEVER, 0),
        # The mean never reaches it, although one of two seeds does: the median is censored.
        (([0.5, 0.8, 0.8], [0.5, 0.5, 0.5]), NEVER, NEVER, NEVER, NEVER, 1),
    ],
)
def test_the_share_at_which_the_reference_is_reached(rows, mean, sustained, near, median, seeds):
    found = reached(curve(*rows), 0.8, 0.05, higher=True)
    assert (found.mean, found.sustained, found.near) == (pytest.approx(mean), pytest.approx(sustained), near)
    assert (found.median, found.replicates) == (pytest.approx(median), seeds)


def test_without_a_reference_no_share_is_known(tmp_path):
    write_run(tmp_path, "random", 0, [0.1, 0.2])
    row = numbers(tmp_path, "random")
    assert row[["reference", "reach", "reach_sustained", "reach_near", "reach_median"]].isna().all()


def test_the_interval_of_the_median_is_that_of_all_resamples():
    # Of 27 resamples of three values the median is the first or the last in 7 each: both are in 95 %.
    assert median_interval(np.array([0.1, 0.2, NEVER]), replicates(3)) == (0.1, NEVER)
    # Of 3,125 resamples of five values the median is the first or the last in 5.8 % each.
    assert median_interval(np.array([0.3, 0.1, 0.2, 0.5, NEVER]), replicates(5)) == (0.1, NEVER)
    assert np.isnan(median_interval(np.array([0.1]), replicates(1))).all()


def test_the_interval_of_the_median_agrees_with_scipy_for_many_seeds():
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).normal(0.3, 0.05, 25)
    ours = median_interval(values, replicates(25))
    theirs = bootstrap((values,), np.median, n_resamples=20_000, method="percentile", random_state=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)


def test_one_seed_has_no_deviation_and_no_interval(tmp_path):
    write_run(tmp_path, "random", 0, [0.1, 0.9])
    write_run(tmp_path, "full", 0, [0.8], rounds=1)
    row = numbers(tmp_path, "random")
    missing = ["max_sd", "at_15_sd", "mean_of_max_sd", "reference_sd", "aubc_sd", "final_sd", "max_bias"]
    missing += [f"reach_{form}_{end}" for form in ("median", "monotone") for end in ("low", "high")]
    assert row[missing].isna().all()
    assert row["reach_median"] == 0.15


def test_the_area_under_a_constant_curve_is_its_value_for_any_rounds():
    share = np.array([0.1, 0.11, 0.3, 0.4])
    assert area(share, np.full((2, 4), 0.7), 0.1, 0.4) == pytest.approx([0.7, 0.7])
    assert area(share, np.full((1, 4), 0.7), 0.2, 0.25) == pytest.approx([0.7])


def test_the_area_is_the_one_calculated_by_hand():
    share, values = np.array([0.1, 0.2, 0.4]), np.array([[0.0, 1.0, 0.5]])
    # (0.1 * 0.5 + 0.2 * 0.75) / 0.3; from 0.15 to 0.3: (0.05 * 0.75 + 0.1 * 0.875) / 0.15.
    assert area(share, values, 0.1, 0.4) == pytest.approx([0.2 / 0.3])
    assert area(share, values, 0.15, 0.3) == pytest.approx([0.125 / 0.15])
    assert area(share, values, 0.3, 0.3) == pytest.approx([0.75])


def test_the_area_agrees_with_a_fine_sum():
    rng = np.random.default_rng(2)
    share, values = np.sort(rng.uniform(0.1, 0.5, 9)), rng.uniform(0, 1, (1, 9))
    low, high = share[1] + 0.01, share[-2] - 0.01
    fine = np.linspace(low, high, 2_000_001)
    middle = (fine[1:] + fine[:-1]) / 2
    assert area(share, values, low, high)[0] == pytest.approx(np.interp(middle, share, values[0]).mean(), abs=1e-6)


def test_areas_begin_at_round_1_and_are_over_the_shares_that_all_methods_cover(tmp_path):
    write_run(tmp_path, "random", 0, [0.0, 0.1, 0.2, 0.4], labeled=[10, 20, 30, 40])
    write_run(tmp_path, "entropy", 0, [0.0, 0.5, 0.5, 0.9], labeled=[20, 30, 40, 50])
    (group,) = load(tmp_path).groups
    assert group.range == (pytest.approx(0.3), pytest.approx(0.4))
    assert numbers(tmp_path, "random")["aubc"] == pytest.approx(0.3)
    assert numbers(tmp_path, "entropy")["aubc"] == pytest.approx(0.5)
    assert common_range([curve([1, 2], start=10), curve([1, 2], start=30)]) is None


def test_round_0_changes_no_area_unless_it_is_the_only_round(tmp_path):
    write_run(tmp_path / "low", "random", 0, [0.0, 0.6, 0.8])
    write_run(tmp_path / "high", "random", 0, [0.5, 0.6, 0.8])
    assert numbers(tmp_path / "low", "random")["aubc"] == numbers(tmp_path / "high", "random")["aubc"] == 0.7
    write_run(tmp_path / "one", "random", 0, [0.5])
    assert numbers(tmp_path / "one", "random")["aubc"] == 0.5
    for name, said in (("low", "under the curve from round 1, 15.0% to 20.0%"), ("one", "of the only round, 10.0%")):
        results = load(tmp_path / name)
        assert said in " ".join(efficiency_table(results, results.groups[0]).caption)


def test_early_middle_and_late_are_thirds_of_the_range(tmp_path):
    write_run(tmp_path, "random", 0, [0.0, 0.1, 0.3, 0.3, 0.9], labeled=[10, 20, 30, 40, 50])
    row = numbers(tmp_path, "random")
    assert [row[f"aubc_{part}"] for part in ("early", "middle", "late")] == pytest.approx([0.2, 0.3, 0.6])
    assert row["aubc"] == pytest.approx((0.2 + 0.3 + 0.6) / 3)


def test_the_table_shows_the_monotone_crossing_with_its_interval(tmp_path):
    for seed, shift in enumerate([-0.01, 0.0, 0.01]):
        write_run(tmp_path, "random", seed, [0.5, 0.6 + shift, 0.7, 0.8 + shift])
        write_run(tmp_path, "star", seed, [0.5, 0.5 + shift, 0.5, 0.5])
        write_run(tmp_path, "full", seed, [0.75], rounds=3)
    results = load(tmp_path)
    table = efficiency_table(results, results.groups[0])
    column = [one.title for one in table.columns].index("monotone")
    found = {row.cells[0].text: row.cells[column].plain for row in table.rows}
    row = numbers(tmp_path, "random")
    low, high = row["reach_monotone_low"], row["reach_monotone_high"]
    assert 0.2 < low < 0.225 < high < 0.25
    assert found == {"random": f"22.5% [{low:.1%}, {high:.1%}]", "star": "> 25.0%"}
    assert "Monotone: where the monotone regression of the mean reaches it, with its 95 % bootstrap interval." in (
        table.caption
    )
    assert "too few" not in " ".join(table.caption)


def test_the_table_shows_the_maximum_of_its_own_metric_before_its_bias(tmp_path):
    for seed, shift in enumerate([-0.01, 0.0, 0.01]):
        write_run(tmp_path, "random", seed, [0.5, 0.6 + shift, 0.61 - shift], slice_dice=[0.7, 0.8, 0.9])
    write_run(tmp_path, "full", 0, [0.75], rounds=2)
    for metric, extreme, title, value in [
        ("dice_volume", "max", "volume Dice", "0.610"),
        ("hd95", "min", "95th percentile Hausdorff distance", "3.90"),
        ("dice_slice", "max", "slice Dice", "0.900"),
    ]:
        results = load(tmp_path, metric=metric)
        table = efficiency_table(results, results.groups[0])
        titles = [one.title for one in table.columns]
        column = titles.index(f"{extreme}(p) of {title}")
        assert titles[column + 1] == f"bias of {extreme}(p) of {title}"
        assert table.rows[0].cells[column].text == value
        caption = " ".join(table.caption)
        assert f"S% of {title}" in caption
        assert caption.count("not of slice Dice as in Table 1") == (0 if metric == "dice_slice" else 2)
        assert "too few seeds or splits for an interval of the monotone S%" in caption


def test_missing_values_do_not_become_numbers():
    holed = curve([0.1, np.nan, 0.3], [0.3, 0.2, 0.1])
    assert best_round(holed, higher=True) == 0
    assert best_per_replicate(holed, higher=True).tolist() == [0.3, 0.3]
    assert best_per_replicate(holed, higher=False).tolist() == [0.1, 0.1]
    assert best_round(curve([np.nan, np.nan]), higher=True) is None
    assert np.isnan(area(holed.share, holed.values, 0.1, 0.2)[0])


def test_validation_metrics_can_be_reported(tmp_path):
    write_run(tmp_path, "random", 0, [0.1, 0.3])
    assert numbers(tmp_path, "random", metric="val_dice_slice")["max"] == pytest.approx(0.31)
    assert numbers(tmp_path, "random", metric="dice_volume")["max"] == pytest.approx(0.3)
    assert math.isnan(numbers(tmp_path, "random", metric="dice_foreground")["max"])
