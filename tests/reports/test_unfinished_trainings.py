"""Trainings that ended at their best epoch, because they were allowed no more."""

import pytest
from support.made_runs import write_run
from support.samples import invoke

from albench.reports import load
from albench.reports.captions import warnings
from albench.reports.report import all_tables
from albench.reports.summary import summarize
from albench.reports.unfinished_trainings import unfinished_reference, unfinished_trainings

REFERENCE = (
    "Caution: the supervised reference was still improving at the last allowed epoch in 1 of 2 trainings, so it is "
    "reached too early and S% is too low: raise training.epochs."
)


@pytest.fixture
def runs(tmp_path):
    """Of 3 + 3 + 1 + 1 trainings, three of random and one of the reference are unfinished."""
    write_run(tmp_path, "random", 0, [0.6, 0.7, 0.8], best_epoch=2)
    write_run(tmp_path, "star", 0, [0.6, 0.7, 0.9])
    write_run(tmp_path, "full", 0, [0.7], best_epoch=2, rounds=2)
    write_run(tmp_path, "full", 1, [0.7], rounds=2)
    return tmp_path


def test_captions_count_unfinished_trainings(runs):
    (group,) = load(runs).groups
    said = "Caution: 4 of 8 trainings were still improving at the last allowed epoch: raise training.epochs."
    assert unfinished_trainings(group) == [said]
    assert said in warnings(group)


def test_a_share_of_an_unfinished_reference_is_printed_with_a_caution(runs):
    results = load(runs)
    (group,) = results.groups
    assert unfinished_reference(group) == [REFERENCE]
    assert summarize(results, group).reference.endswith(REFERENCE)
    tables = {table.name: table for table in all_tables(results)}
    assert REFERENCE in next(table for name, table in tables.items() if name.startswith("efficiency")).caption


def test_nothing_is_said_of_finished_trainings(tmp_path):
    for strategy in ("random", "full"):
        write_run(tmp_path, strategy, 0, [0.7])
    (group,) = load(tmp_path).groups
    assert unfinished_trainings(group) == unfinished_reference(group) == []
    assert not any("improving" in sentence for sentence in warnings(group))


@pytest.mark.parametrize(
    "settings", [{"training.stop": "steps"}, {"protocol.compute": "matched", "protocol.steps": 10}]
)
def test_a_fixed_number_of_steps_is_not_unfinished(tmp_path, settings):
    write_run(tmp_path, "random", 0, [0.6, 0.7], best_epoch=2, settings=settings)
    assert unfinished_trainings(load(tmp_path).groups[0]) == []


def test_the_status_marks_runs_whose_last_training_was_unfinished(runs):
    code, told = invoke("status", runs)
    assert code == 0
    assert told.count("finished*") == 2
    assert told.endswith("* still improving at the last allowed epoch of its last training: raise training.epochs")
    star = runs / "made" / "star"
    assert "still improving" not in invoke("status", star)[1]
