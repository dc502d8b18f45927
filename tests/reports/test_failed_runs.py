"""Runs that are flagged as failed, by a rule about round 0 alone."""

from types import SimpleNamespace

import pytest
from support.made_runs import write_run

from albench.reports import load
from albench.reports.failed_runs import failed
from albench.reports.report import all_tables
from albench.reports.reported_metrics import find_metric
from albench.runs.records import Metrics


@pytest.fixture
def five(tmp_path):
    """Seed 2 of random begins at 0.29, below half of the median of 0.6; seed 1 of star at exactly half."""
    for seed, dice in enumerate([0.6, 0.6, 0.29, 0.65, 0.55]):
        write_run(tmp_path, "random", seed, [dice, 0.7])
    for seed, dice in enumerate([0.6, 0.3, 0.6]):
        write_run(tmp_path, "star", seed, [dice, 0.1])
    return tmp_path


def test_a_run_below_half_of_the_median_in_round_0_is_flagged_and_kept(five):
    (group,) = load(five).groups
    assert failed(group) == [("random", 2)]
    assert len(group.methods["random"]) == 5


def test_the_rule_does_not_depend_on_the_metric_of_the_report(five):
    assert failed(load(five, metric="hd95").groups[0]) == [("random", 2)]


def test_a_failed_reference_is_flagged_and_a_single_run_never_is(five):
    for seed, dice in enumerate([0.8, 0.8, 0.1]):
        write_run(five, "full", seed, [dice], rounds=1)
    write_run(five, "entropy", 0, [0.01, 0.5])
    assert failed(load(five).groups[0]) == [("random", 2), ("full", 2)]


@pytest.mark.parametrize(("dice", "seeds"), [([0.6, None, 0.6, 0.2], [3]), ([None, None], []), ([None, 0.1], [])])
def test_a_run_without_a_value_hides_no_failed_one(dice, seeds):
    runs = [
        SimpleNamespace(seed=seed, reader=SimpleNamespace(records=[SimpleNamespace(test=Metrics(*[value] * 7))]))
        for seed, value in enumerate(dice)
    ]
    group = SimpleNamespace(methods={"random": runs}, reference=[], metric=find_metric("hd95"))
    assert failed(group) == [("random", seed) for seed in seeds]


def test_captions_name_failed_runs(five):
    said = "and included: random, seed 2."
    tables = [table for table in all_tables(load(five)) if table.name != "ranks"]
    assert all(any(said in text for text in table.caption) for table in tables)
