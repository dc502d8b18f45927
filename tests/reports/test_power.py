"""Power of the paired t test, compared with statsmodels, integration and simulation, and the report of it."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from support.made_runs import write_level_runs, write_run
from support.samples import invoke

from albench.errors import ConfigError
from albench.reports import load
from albench.reports.power import detectable, deviation_interval, needed, planned, power
from albench.reports.report import all_tables
from albench.reports.tables.power import about_power

HOLM = 0.05 / 23
STATSMODELS = [  # TTestPower of statsmodels 0.15.0: effect, level, {n: power}, n for a power of 0.8
    (0.2, 0.05, {2: 0.05197844977094976, 5: 0.06426957404800915, 30: 0.18518338712591942}, 198.150820955562),
    (0.2, HOLM, {2: 0.0022602937748749962, 5: 0.0030107770896776274, 30: 0.01995962495752022}, 386.3166501119082),
    (0.5, 0.05, {2: 0.06194860668713362, 5: 0.140516689990298, 30: 0.75396471574379}, 33.36713118431779),
    (0.5, HOLM, {3: 0.003797712374031387, 10: 0.03230377590206972, 30: 0.2928156221912792}, 65.76148193643472),
    (0.8, 0.05, {2: 0.07882061454243196, 5: 0.2809920635173735, 30: 0.9884752400890072}, 14.30276455812943),
    (0.8, HOLM, {3: 0.006325564451189438, 10: 0.12710476983119876, 30: 0.8309774175058662}, 28.547766208699827),
    (1.2, 0.05, {3: 0.230406860766337, 5: 0.5302212511402787, 10: 0.9203333855897898}, 7.58772381704109),
    (1.2, HOLM, {3: 0.011490845913278208, 5: 0.05511775516731509, 10: 0.4126916337753764}, 15.258363218564483),
    (2.0, 0.05, {2: 0.17570741109776003, 3: 0.4707494312784346, 10: 0.9998419874351885}, 4.22071858501904),
]


@pytest.mark.parametrize(("effect", "level", "powers", "enough"), STATSMODELS)
def test_power_and_seeds_are_those_of_statsmodels(effect, level, powers, enough):
    assert {n: power(effect, n, level) for n in powers} == pytest.approx(powers)
    assert needed(effect, level) == math.ceil(enough)


@pytest.mark.parametrize("level", [0.05, HOLM])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
@pytest.mark.parametrize("effect", [0.1, 1.0, 5.0, 50.0])
def test_the_power_is_that_of_a_normal_mean_integrated_over_the_deviation(effect, n, level):
    critical, shift = stats.t.isf(level / 2, n - 1), effect * math.sqrt(n)

    def found(probability):
        scaled = critical * math.sqrt(stats.chi2.ppf(probability, n - 1) / (n - 1))
        return stats.norm.sf(scaled - shift) + stats.norm.cdf(-scaled - shift)

    assert power(effect, n, level) == pytest.approx(integrate.quad(found, 0, 1, limit=500)[0], abs=1e-6)


def test_the_test_of_the_report_finds_a_difference_as_often_as_its_power():
    rng, n = np.random.default_rng(0), 5
    samples = rng.normal(0.012, 0.008, (20_000, n))
    found = (stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(power(0.012 / 0.008, n), abs=0.01)


@pytest.mark.parametrize("level", [0.05, HOLM, 0.05 / 300])
@pytest.mark.parametrize("effect", [0.02, 0.3, 0.9, 1.7, 4.0, 1e4])
def test_one_difference_fewer_has_not_enough_power(effect, level):
    n = needed(effect, level)
    assert power(effect, n, level) >= 0.8
    assert n == 2 or power(effect, n - 1, level) < 0.8


def test_very_small_effects_need_what_the_normal_distribution_says():
    assert needed(1e-4) == math.ceil(((stats.norm.isf(0.025) + stats.norm.ppf(0.8)) / 1e-4) ** 2)
    assert needed(3e-3) == pytest.approx(needed(1e-4) * (1e-4 / 3e-3) ** 2, rel=1e-5)


@pytest.mark.parametrize("level", [0.05, HOLM])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_what_is_detected_has_a_power_of_08(n, level):
    assert power(detectable(n, level), n, level) == pytest.approx(0.8)


def test_the_interval_of_a_deviation_holds_it_in_95_percent_of_samples():
    rng, n = np.random.default_rng(1), 5
    found = [deviation_interval(sd, n) for sd in rng.normal(0, 2.0, (4000, n)).std(1, ddof=1)]
    assert np.mean([low <= 2.0 <= high for low, high in found]) == pytest.approx(0.95, abs=0.012)
    assert deviation_interval(1.0, 5) == pytest.approx((0.5991331391341409, 2.873555634078218))


def test_an_unknown_deviation_gives_no_number():
    assert set(map(math.isnan, planned(math.nan, 1, 0.01, 0).values())) == {True}
    assert set(map(math.isnan, planned(math.nan, 5, 0.01, 3).values())) == {True}


LAST = {"random": [0.60, 0.62, 0.66], "entropy": [0.61, 0.65, 0.66], "star": [0.70, 0.70, 0.75]}


@pytest.fixture
def suite(tmp_path):
    """Three methods with equal Dice from round 1 on, over three seeds."""
    write_level_runs(tmp_path, LAST)
    return tmp_path


def power_table_of(results):
    return next(table for table in all_tables(results) if table.name == "power-made")


def test_the_rows_are_those_of_the_differences_with_the_deviation_of_each_pair(suite):
    results = load(suite)
    found, expected = results.power(0.01), results.differences()
    same = ["group", "label", "kind", "rival", "units", "unit", "sd"]
    pd.testing.assert_frame_equal(found[same], expected[same])
    star = found.set_index(["kind", "label"]).loc["baseline", "star"]
    sd = np.std(np.subtract(LAST["star"], LAST["random"]), ddof=1)
    assert star["sd"] == pytest.approx(sd)
    assert (star["tests"], star["difference"]) == (2, 0.01)
    assert (star["needed"], star["needed_holm"]) == (needed(0.01 / sd), needed(0.01 / sd, 0.025))
    assert star["needed_high"] == needed(0.01 / deviation_interval(sd, 3)[1])
    assert star["detected_holm"] == pytest.approx(sd * detectable(3, 0.025))
    assert set(found[found["kind"] == "best rival"]["tests"]) == {2}  # star and random, star and entropy


def test_the_table_says_how_many_seeds_which_difference_needs(suite):
    table = power_table_of(load(suite, power=0.02))
    assert [column.title for column in table.columns] == [
        *("Method", "against", "seeds", "sd", "seeds for 0.02", "after Holm", "detected", "detected, Holm"),
    ]
    sd = np.std(np.subtract(LAST["star"], LAST["random"]), ddof=1)
    low, high = deviation_interval(sd, 3)
    star = next([cell.plain for cell in row.cells] for row in table.rows if row.cells[0].text == "star")
    assert star[:4] == ["star", "random", "3", f"{sd:.4f} [{low:.4f}, {high:.4f}]"]
    assert star[4] == f"{needed(0.02 / sd)} [{needed(0.02 / low)}, {needed(0.02 / high):,}]"
    assert star[6:] == [f"{sd * detectable(3):.4f}", f"{sd * detectable(3, 0.025):.4f}"]
    said = " ".join(table.caption)
    others = [np.std(np.subtract(LAST[label], LAST["random"]), ddof=1) for label in ("entropy", "star")]
    counts = [[needed(0.02 / own, level) for own in others] for level in (0.05, 0.025)]
    assert (
        f"For a difference of 0.02, half of the 2 comparisons need at most {max(counts[0])} seeds and all at most "
        f"{max(counts[0])}; after Holm's correction over 2 tests, half of the 2 comparisons need at most "
        f"{max(counts[1])} seeds and all at most {max(counts[1])}." in said
    )
    assert "The deviation is that of differences between seeds on the same 2 test cases. It does not hold" in said


def test_splits_are_counted_where_they_are_what_is_compared(tmp_path):
    for split in range(3):
        for label, values in LAST.items():
            settings = {"protocol.splits": 3, "protocol.split_seed": split}
            write_run(tmp_path, label, 0, [0.5, values[split], values[split]], settings=settings)
    results = load(tmp_path, power=0.01)
    said = about_power(results, results.groups[0])
    assert set(results.power()["unit"]) == {"split"}
    assert said[-1] == (
        "The deviation is that of differences between splits, each the mean over its seeds. It holds the choice of "
        "patients, and what is needed are further splits with as many seeds each."
    )


def test_without_random_the_best_rival_is_compared(tmp_path):
    write_level_runs(tmp_path, {label: LAST[label] for label in ("entropy", "star")})
    results = load(tmp_path, power=0.01)
    rivals = {row.cells[0].text: row.cells[1].text for row in power_table_of(results).rows}
    assert rivals == {"entropy": "star", "star": "entropy"}
    said = about_power(results, results.groups[0])[0]
    sd = np.std(np.subtract(LAST["star"], LAST["entropy"]), ddof=1)
    assert said == f"For a difference of 0.01, the comparison needs {needed(0.01 / sd)} seeds."


def test_a_report_without_a_planned_difference_has_no_power(suite):
    results = load(suite)
    assert not any(table.name.startswith("power") for table in all_tables(results))
    with pytest.raises(
        ConfigError, match=r"^a power analysis needs a difference, got none: give one in AUBC, such as 0[.]01$"
    ):
        results.power()


@pytest.mark.parametrize("difference", ["0", "-0.01", "nan", "inf"])
def test_a_difference_that_is_not_above_0_is_rejected(suite, difference):
    with pytest.raises(ConfigError, match=f"^--power must be above 0, got {difference}: it is a difference in AUBC"):
        load(suite, power=float(difference))


def test_the_command_prints_the_table_and_writes_the_numbers(suite, tmp_path):
    code, output = invoke("report", suite, "--power", ".01", "--format", "csv", "--out", tmp_path / "out")
    assert code == 0
    assert "What a difference of 0.01 needs on made" in output
    assert "half of the 2 comparisons need at most" in output
    found = pd.read_csv(tmp_path / "out" / "csv" / "numbers-power.csv")
    assert len(found) == 5
    assert found["needed"].tolist() == load(suite).power(0.01)["needed"].tolist()
    assert (tmp_path / "out" / "csv" / "power-made.csv").is_file()


def test_a_method_with_one_seed_is_not_counted(suite):
    write_run(suite, "margin", 0, [0.5, 0.6, 0.6])
    results = load(suite, power=0.01)
    found = results.power().set_index(["kind", "label"])
    assert math.isnan(found.loc[("baseline", "margin"), "needed"])
    assert found.loc[("baseline", "star"), "tests"] == 2
    assert [row.cells[0].text for row in power_table_of(results).rows] == ["entropy", "star"]
    most = max(int(found.loc[("baseline", label), "needed"]) for label in ("entropy", "star"))
    said = about_power(results, results.groups[0])[0]
    assert said.startswith(f"For a difference of 0.01, half of the 2 comparisons need at most {most} seeds and all at ")


def test_one_method_has_no_difference_whose_power_could_be_known(tmp_path):
    for seed, value in enumerate(LAST["star"]):
        write_run(tmp_path, "star", seed, [0.5, value, value])
    code, output = invoke("report", tmp_path, "--power", "0.01", "--format", "csv")
    assert code == 0
    assert "How many seeds a difference of 0.01 needs on made is unknown: the deviation of a difference needs" in output
    assert pd.read_csv(tmp_path / "report" / "csv" / "numbers-power.csv").columns.tolist()[-2:] == [
        *("needed_holm_high", "detected_holm")
    ]


def test_with_one_seed_the_command_says_that_it_is_unknown(tmp_path):
    for label in ("random", "star"):
        write_run(tmp_path, label, 0, [0.5, 0.6])
    code, output = invoke("report", tmp_path, "--power", "0.01", "--format", "csv")
    assert code == 0
    assert (
        "How many seeds a difference of 0.01 needs on made is unknown: the deviation of a difference needs two methods "
        "with two common seeds, whose gains differ." in output
    )
    assert not (tmp_path / "report" / "csv" / "power-made.csv").exists()
    assert pd.read_csv(tmp_path / "report" / "csv" / "numbers-power.csv")["needed"].isna().all()
