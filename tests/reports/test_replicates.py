"""Runs of several seeds and splits: which are paired, which are independent, and how a report names them."""

import math

import pytest
from scipy import stats
from support.made_runs import write_run

from albench.reports import load
from albench.reports.captions import measured
from albench.reports.replicates import Replicate, in_words, unit_of, units
from albench.reports.report import all_tables
from albench.reports.significance import paired, ranks

SIX = {(seed, split) for seed in range(2) for split in range(3)}
CROSSED = tuple(Replicate(seed, split) for seed in (0, 1) for split in (4, 5, 6))


def on_split(split, splits=3):
    return {"protocol.splits": splits, "protocol.split_seed": split}


@pytest.fixture
def crossed(tmp_path):
    """Two methods with two seeds on each of three splits; star is ahead by 0.1, 0.2 and 0.6, the mean of the seeds."""
    for split, ahead in enumerate([0.1, 0.2, 0.6]):
        for seed in range(2):
            write_run(tmp_path, "random", seed, [0.1, 0.2, 0.2], settings=on_split(split))
            dice = 0.2 + ahead + 0.02 * seed - 0.01
            write_run(tmp_path, "star", seed, [0.1, dice, dice], settings=on_split(split))
    return tmp_path


@pytest.mark.parametrize(
    ("replicates", "unit", "parts", "words"),
    [
        ([Replicate(0, 7), Replicate(2, 7)], "seed", [[0], [1]], "2 seeds (0, 2)"),
        (CROSSED, "split", [[0, 3], [1, 4], [2, 5]], "2 seeds (0, 1) on each of 3 splits (4, 5, 6)"),
        ([Replicate(0, 4), Replicate(1, 5)], "split", [[0], [1]], "2 seeds (0, 1), each with a split of its own"),
        (CROSSED[1:], "split", [[2], [0, 3], [1, 4]], "5 runs of 2 seeds (0, 1) on 3 splits (4, 5, 6)"),
        ([Replicate(3, 0)], "seed", [[0]], "1 seed (3)"),
    ],
)
def test_runs_of_one_split_are_one_unit_if_there_are_several_splits(replicates, unit, parts, words):
    assert (unit_of(replicates), units(replicates), in_words(replicates)) == (unit, parts, words)


def test_runs_of_other_splits_belong_to_one_group_and_are_no_duplicates(crossed):
    results = load(crossed)
    (group,) = results.groups
    assert results.collection.problems == []
    assert group.curves["star"].replicates == tuple(sorted(Replicate(seed, split) for seed, split in SIX))
    frame = results.curves()
    assert set(zip(frame["seed"], frame["split"], strict=True)) == SIX
    assert "over 2 seeds (0, 1) on each of 3 splits (0, 1, 2)." in measured(results, group)[0]


def test_a_second_run_of_a_seed_on_a_split_is_a_duplicate(crossed):
    again = write_run(crossed / "again", "star", 1, [0.1, 0.5, 0.5], settings=on_split(2))
    (problem,) = load(crossed).collection.problems
    assert problem.state == "duplicate"
    assert str(again) in problem.sentence or "has the same method, seed and split and is used" in problem.sentence
    assert problem.sentence.startswith("star on made, seed 1, split 2, is left out")


def test_a_method_without_a_run_on_one_split_is_incomplete(crossed):
    for seed, split in sorted(SIX - {(1, 2)}):
        write_run(crossed, "entropy", seed, [0.1, 0.9, 0.9], settings=on_split(split))
    assert load(crossed).groups[0].incomplete == ["entropy"]


def test_other_splits_without_the_setting_are_another_protocol(tmp_path):
    for split in range(2):
        write_run(tmp_path, "random", 0, [0.1, 0.2], settings=on_split(split, splits=1))
    assert len(load(tmp_path).groups) == 2


def test_every_seed_of_nested_splits_has_its_own(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.1, 0.2], settings=on_split(3, splits="nested"))
    assert load(tmp_path).groups[0].curves["random"].replicates == ((0, 3), (1, 4))


def test_with_several_splits_the_mean_difference_of_each_is_tested(crossed):
    row = load(crossed).differences().set_index(["kind", "label"]).loc["baseline", "star"]
    expected = stats.ttest_1samp([0.1, 0.2, 0.6], 0)
    assert (row["units"], row["unit"], row["gain"]) == (3, "split", pytest.approx(0.3))
    assert (row["t"], row["low"]) == pytest.approx((expected.pvalue, expected.confidence_interval().low))
    assert (row["flip"], row["least"]) == (0.25, 0.25)


def test_a_split_with_more_seeds_counts_once():
    differences = {Replicate(0, 0): 0.1, Replicate(1, 0): 0.3, Replicate(2, 0): 0.2, Replicate(0, 1): 0.4}
    assert paired(differences).difference == pytest.approx((0.2 + 0.4) / 2)


def test_ranks_too_count_a_split_with_more_seeds_once():
    first = [Replicate(seed, 0) for seed in range(3)]
    one = dict.fromkeys(first, 1.0) | {Replicate(0, 1): 0.0}
    found = ranks({"one": one, "other": dict.fromkeys(one, 0.5)}, higher=True)
    assert (found.mean["one"], found.mean["other"]) == (1.5, 1.5)
    assert found.first == {"one", "other"}


def test_ranks_leave_out_whole_splits():
    one = dict.fromkeys(CROSSED, 1.0)
    other = {replicate: 2.0 if replicate.split == 4 else 0.5 for replicate in CROSSED}
    found = ranks({"one": one, "other": other}, higher=True)
    assert (found.units, found.unit, found.mean["one"]) == (3, "split", pytest.approx(4 / 3))
    assert (found.low["one"], found.high["one"]) == (1, 1.5)


def test_tables_name_splits_only_if_there_are_several(crossed, tmp_path):
    write_run(crossed, "full", 0, [0.5], rounds=2, settings=on_split(0))
    tables = {table.name: table for table in all_tables(load(crossed))}
    columns = {name: [column.title for column in table.columns] for name, table in tables.items()}
    assert columns["differences-baseline-made"][2:5] == ["splits", "gain in AUBC", "95 % over splits and cases"]
    assert columns["ranks"][2:5] == ["splits", "mean rank", "without any one split"]
    assert "runs" in columns["efficiency-made"]
    assert "variance-made" in tables
    for seed in range(2):
        for strategy in ("random", "star"):
            write_run(tmp_path / "one", strategy, seed, [0.1, 0.2, 0.3 + 0.1 * seed])
    tables = {table.name: table for table in all_tables(load(tmp_path / "one"))}
    assert "variance-made" not in tables
    texts = [text for table in tables.values() for text in (*(c.title for c in table.columns), *table.caption)]
    assert not any("split" in text for text in texts)


def test_the_deviations_of_splits_and_seeds_are_in_the_table(crossed):
    frame = load(crossed).variances().set_index("label")
    # The differences of splits are 0.1, 0.2, 0.6; seeds differ by 0.02 on every split.
    star = frame.loc["star"]
    assert star["split"] == pytest.approx(math.sqrt(0.07))
    assert (star["seed"], star["run"]) == (pytest.approx(0.02 / math.sqrt(2)), pytest.approx(0))
    assert frame.loc["random"].drop("group").tolist() == pytest.approx([0, 0, 0, 0])


def variance_caption(folder):
    return next(" ".join(table.caption) for table in all_tables(load(folder)) if table.name == "variance-made")


def test_the_table_says_why_splits_and_seeds_cannot_be_separated(crossed, tmp_path):
    assert "cannot be separated" not in variance_caption(crossed)
    for seed, split in sorted(SIX - {(1, 2)}):
        write_run(crossed, "entropy", seed, [0.1, 0.9, 0.9], settings=on_split(split))
    said = "Not every seed of entropy has a run on every split, so that splits and seeds cannot be separated."
    assert said in variance_caption(crossed)
    for seed in range(3):
        write_run(tmp_path / "nested", "random", seed, [0.1, 0.2], settings=on_split(0, splits="nested"))
    said = "Every run of random has a split of its own, so that splits and seeds cannot be separated."
    assert said in variance_caption(tmp_path / "nested")


def test_methods_are_ranked_over_the_seeds_that_all_of_them_have(tmp_path):
    for seed, dice in enumerate([0.9, 0.3, 0.3]):
        write_run(tmp_path, "random", seed, [0.1, dice, dice])
    write_run(tmp_path, "entropy", 0, [0.1, 0.8, 0.8])
    write_run(tmp_path, "margin", 0, [0.1, 0.7, 0.7])
    (group,) = load(tmp_path).groups
    assert group.ranking == ["random", "entropy", "margin"], "the hard seeds of random do not count against it"
