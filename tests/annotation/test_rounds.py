"""A project asks what a run asks: people who draw the truth get the records of the run, round by round."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from support.breaking import left_by
from support.people import COMPUTING, SETTINGS, TEST, VALIDATION, draw, split_seed, visible
from support.slow import slow_but

from albench import run
from albench.annotation import rounds
from albench.annotation.project import Project
from albench.annotation.rounds import Worklist
from albench.audit.auditor import audit_rounds
from albench.errors import AlbenchError, ConfigError, StoreError
from albench.files import locked
from albench.masks import UNKNOWN
from albench.runs import load_runs, verify
from albench.runs.records import Metrics, SliceName


@pytest.fixture
def make(files, labels, tmp_path):
    """Make a project of the images."""

    def start(strategy: str = "entropy", settings: dict[str, object] | None = None, **options: object) -> Worklist:
        given = {"labels": labels, "validation": [VALIDATION], "test": [TEST], "name": "phantom"} | options
        chosen = {name: value for name, value in (SETTINGS | (settings or {})).items() if value is not None}
        return rounds.new(
            tmp_path / "project", files / "imagesTr", COMPUTING, strategy=strategy, settings=chosen, **given
        )

    return start


@pytest.mark.parametrize("strategy", slow_but(["entropy"], ["entropy", "star", "ceal-entropy", "random"]))
def test_people_who_draw_the_truth_get_the_records_of_a_run(make, files, drawn, tmp_path, strategy):
    three = {"protocol.rounds": 3}
    settings = SETTINGS | three | {"data.root": str(files), "protocol.split": [4, 1, 1]}
    settings["protocol.split_seed"] = split_seed()
    expected = run(strategy, "folder", settings=settings, out=tmp_path / "runs", device="cpu", share=False)
    worklist = make(strategy, three)
    assert worklist.asked == expected.split.initial
    for index, record in enumerate(expected.records):
        assert (worklist.round, worklist.missing, worklist.finished) == (index, worklist.asked, False)
        draw(worklist.folder, drawn)
        worklist = rounds.next_round(tmp_path / "project", COMPUTING)
        assert worklist.asked == expected.query(index).slices
        (found,) = Project.open(tmp_path / "project").runs
        assert visible(found.records[index].results()) == visible(record.results())
        assert found.query(index) == expected.query(index)
        assert {i: m.tobytes() for i, m in found.pseudo(index).items()} == {
            i: m.tobytes() for i, m in expected.pseudo(index).items()
        }
        assert verify(found) == []
    last = len(expected.records) - 1
    assert worklist.finished
    weights = found.weights(last)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.weights(last).items())
    assert found.split == expected.split


def go_on(tmp_path, **options: object) -> Worklist:
    return rounds.next_round(tmp_path / "project", COMPUTING, **options)


def test_nothing_is_trained_while_slices_are_missing_and_they_are_told(make, drawn, tmp_path):
    worklist = make()
    (first, *others) = sorted({name.case for name in worklist.asked})
    draw(worklist.folder, drawn, cases=[first])
    told = go_on(tmp_path)
    assert told.missing == tuple(name for name in worklist.asked if name.case != first)
    assert not told.answered
    assert told == rounds.status(tmp_path / "project", COMPUTING)
    assert Project.open(tmp_path / "project").rounds == 0
    draw(worklist.folder, drawn, cases=others)
    assert rounds.status(tmp_path / "project", COMPUTING).answered
    assert go_on(tmp_path).round == 1


def test_files_that_were_saved_in_another_folder_are_read_there(make, drawn, tmp_path):
    worklist = make("random")
    saved = shutil.copytree(worklist.folder, tmp_path / "saved")
    draw(saved, drawn)
    assert go_on(tmp_path).missing == worklist.asked
    assert rounds.status(tmp_path / "project", COMPUTING, saved).answered
    following = go_on(tmp_path, returned=saved)
    assert (following.round, following.missing) == (1, following.asked)


def test_a_worklist_tells_why_slices_are_asked_for(make, drawn, tmp_path):
    worklist = make("entropy")
    assert {(one.rank, one.score) for one in Project.open(tmp_path / "project").asked} == {
        (rank, None) for rank in range(1, len(worklist.asked) + 1)
    }
    draw(worklist.folder, drawn)
    go_on(tmp_path)
    project = Project.open(tmp_path / "project")
    (query,) = (run.query(0) for run in project.runs)
    asked = project.asked
    assert [one.rank for one in asked] == [1, 2, 3]
    assert [one.score for one in asked] == sorted(query.scores.values(), reverse=True)[:3]


def test_slices_that_nobody_asked_for_are_accepted_counted_and_never_asked_for(make, drawn, tmp_path):
    worklist = make("random")
    draw(worklist.folder, drawn, extra=[0, 1])
    cases = sorted({name.case for name in worklist.asked})
    expected = {SliceName(case, position) for case in cases for position in (0, 1)}
    told = rounds.status(tmp_path / "project", COMPUTING)
    assert (set(told.extra), told.missing) == (expected, ())
    while not (worklist := go_on(tmp_path)).finished:
        assert worklist.round < 9
        assert not expected.intersection(worklist.asked)
        draw(worklist.folder, drawn)
    (found,) = Project.open(tmp_path / "project").runs
    initial = len(found.split.initial)
    assert found.records[0].labeled == initial + len(expected)
    assert found.records[1].labeled == initial + len(expected) + 3
    assert found.records[0].annotation_cost.slices == initial + len(expected)
    assert verify(found) == []


def test_a_slice_that_somebody_drew_unasked_is_no_pseudo_label_any_more(make, drawn, tmp_path):
    worklist = make("star")
    draw(worklist.folder, drawn)
    draw(go_on(tmp_path).folder, drawn, extra=range(8))
    (before,) = Project.open(tmp_path / "project").runs
    go_on(tmp_path)
    (after,) = Project.open(tmp_path / "project").runs
    labels, left = set(after.answers(1)), set(before.pseudo(0))
    assert labels & left
    assert after.records[1].pseudo.count == len(left - labels)


def test_a_project_without_validation_and_test_volumes_has_no_metrics_of_them(make, drawn, tmp_path):
    worklist = make("star", {"training.stop": None}, labels=None, validation=[], test=[])
    assert {name.case for name in worklist.asked} == set(drawn)
    while not worklist.finished:
        draw(worklist.folder, drawn)
        worklist = go_on(tmp_path)
    (found,) = Project.open(tmp_path / "project").runs
    assert (found.config.protocol.validation, found.config.training.stop) == ("none", "steps")
    nothing = Metrics(None, None, None, None, None, None, None)
    assert [(r.test, r.val, r.cases, r.confidence.highest) for r in found.records] == [(nothing, None, {}, None)] * 3
    assert [r.fit_trainings[0].steps for r in found.records] == [4, 4, 4]
    assert verify(found) == []
    assert load_runs(tmp_path / "project")["value"].isna().all()


def test_masks_that_are_given_are_labels_from_the_beginning(make, files, labels, drawn, tmp_path):
    (labels / "phantom_0.nii.gz").write_bytes((files / "labelsTr" / "phantom_0.nii.gz").read_bytes())
    worklist = make()
    assert "phantom_0" not in {name.case for name in worklist.missing}
    assert not (worklist.folder / "phantom_0.npz").exists()
    draw(worklist.folder, drawn)
    worklist = go_on(tmp_path)
    (found,) = Project.open(tmp_path / "project").runs
    asked = [name for name in found.split.initial if name.case != "phantom_0"]
    assert found.records[0].labeled == 8 + len(asked)
    assert "phantom_0" not in {name.case for name in worklist.asked}
    assert verify(found) == []
    np.testing.assert_array_equal(found.answers(0)[3][:32, :30], drawn["phantom_0"][3])


def test_a_slice_that_is_drawn_in_part_is_learned_from_in_part(make, drawn, tmp_path):
    worklist = make("random")
    parts = {case: mask.copy() for case, mask in drawn.items()}
    for mask in parts.values():
        mask[:, :16] = UNKNOWN
    draw(worklist.folder, parts)
    assert go_on(tmp_path).round == 1
    (found,) = Project.open(tmp_path / "project").runs
    first = next(iter(found.answers(0).values()))
    assert (first[:16, :30] == UNKNOWN).all()
    assert set(np.unique(first[16:, :30])) <= {0, 1}
    assert verify(found) == []


def test_other_settings_begin_a_stage_that_trains_on_all_labels_and_the_log_says_so(make, drawn, tmp_path):
    worklist = make("entropy")
    for options in ({}, {}, {"strategy": "random", "settings": {"training.epochs": 1, "protocol.budget": 2}}):
        draw(worklist.folder, drawn)
        worklist = go_on(tmp_path, **options)
    project = Project.open(tmp_path / "project")
    assert list(project.changes()) == [
        "from round 2 on: strategy: entropy -> random; protocol.budget: 3 -> 2; training.epochs: 2 -> 1"
    ]
    before, after = project.runs
    assert [len(before.records), len(after.records), worklist.round] == [2, 1, 3]
    labeled = {*before.split.initial, *before.query(0).slices, *before.query(1).slices}
    assert set(after.split.initial) == labeled
    assert after.records[0].labeled == len(labeled) == before.records[1].labeled + 3
    assert len(after.records[0].fit_trainings) == after.records[0].fit_trainings[0].epochs == 1
    assert (worklist.asked, len(worklist.asked)) == (after.query(0).slices, 2)
    assert not labeled.intersection(worklist.asked)
    assert verify(before) == verify(after) == []
    draw(worklist.folder, drawn)
    assert go_on(tmp_path, strategy="random", settings={"protocol.warm_start": True}).round == 4  # nothing is changed
    assert [len(run.records) for run in Project.open(tmp_path / "project").runs] == [2, 2]


def test_settings_can_be_changed_before_round_0_and_again_and_what_is_asked_stays(make, drawn, tmp_path):
    worklist = make("entropy")
    draw(worklist.folder, drawn, cases=["phantom_0"])
    assert go_on(tmp_path, strategy="star").asked == worklist.asked
    assert go_on(tmp_path, strategy="random").asked == worklist.asked
    draw(worklist.folder, drawn)
    assert go_on(tmp_path).round == 1
    project = Project.open(tmp_path / "project")
    assert list(project.changes()) == ["from round 0 on: strategy: entropy -> random"]
    first, second = project.runs
    assert (first.records, second.config.strategy.name) == ((), "random")
    assert set(second.split.initial) == set(worklist.asked)


def test_what_people_drew_is_part_of_the_ledger_and_cannot_be_audited(make, drawn, tmp_path):
    worklist = make("random")
    draw(worklist.folder, drawn)
    draw(go_on(tmp_path).folder, drawn)
    (found,) = Project.open(tmp_path / "project").runs
    with pytest.raises(
        ConfigError, match=r"^an audit needs masks that were hidden from the strategy, those of '.*' we"
    ):
        list(audit_rounds(found, torch.device("cpu")))
    path = found.layout.round(0).answers
    stored = dict(np.load(path))
    np.savez(path, **(stored | {"masks": ~stored["masks"]}))
    (damage,) = verify(found)
    sentence = f"'{path}' was changed or replaced after it was written, it does not match its record: restore it from"
    assert damage.sentence.startswith(sentence)
    with pytest.raises(StoreError) as told:
        go_on(tmp_path)
    assert str(told.value).startswith(sentence)


WRONG = {
    "no strategy": ({"strategy": "entropie"}, "strategy must be a known name or FILE.py:Class, got 'entropie'"),
    "truth": (
        {"strategy": "foreground-random"},
        "a project needs a strategy that does without the truth of unlabeled slices, 'foreground-random' has the "
        "oracle look at it, and people have not drawn it yet: choose another",
    ),
    "no volume": (
        {"validation": ["phantom_9"]},
        "--validation must name volumes of the project, 'phantom_9' is none of",
    ),
    "no mask": ({"test": ["phantom_0"]}, "--test must name volumes with a mask, 'phantom_0' has none among the labels"),
    "both": ({"test": [VALIDATION]}, "a volume must be for one purpose, 'phantom_4' is in --validation and --test: "),
    "labels": ({"labels": Path("absent")}, "--labels must be an existing folder, 'absent' is none: correct it"),
    "split": (
        {"settings": {"protocol.split": [4, 1, 1]}},
        "protocol.split must not be set in a project, whose volumes for validation and test are named: leave it out",
    ),
    "errors": (
        {"settings": {"protocol.annotation_errors": ["missed"]}},
        "protocol.annotation_errors must not be set in a project, where people draw: leave it out",
    ),
    "setting": ({"settings": {"training.epoch": 1}}, "an option must be known, got 'training.epoch': did you mean"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_new_project_is_one_sentence_and_leaves_none(make, tmp_path, case):
    options, sentence = WRONG[case]
    with pytest.raises(AlbenchError) as told:
        make(**options)
    assert str(told.value).startswith(sentence)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "project" / "project.json").exists()


def test_what_is_wrong_later_is_one_sentence_and_changes_nothing(make, files, drawn, tmp_path):
    folder = tmp_path / "project"
    with pytest.raises(ConfigError, match=r"^PROJECT must be the folder of a project, '.*' has no project.json: make"):
        go_on(tmp_path)
    worklist = make()
    with pytest.raises(ConfigError, match=r"^a new project needs a folder without one, '.*' holds one: choose another"):
        make()
    draw(worklist.folder, drawn)
    before = (folder / "project.json").read_bytes()
    for options, sentence in (
        ({"strategy": "nothing"}, "^strategy must be a known name"),
        ({"settings": {"protocol.budget": 0}}, "^protocol.budget must be greater than or equal to 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            go_on(tmp_path, **options)
    assert (folder / "project.json").read_bytes() == before
    with locked(folder / ".lock", wait=False), pytest.raises(AlbenchError, match=r"^a project must be continued"):
        go_on(tmp_path)
    file = worklist.folder / "phantom_0.npz"
    content = file.read_bytes()
    file.unlink()
    told = go_on(tmp_path)
    assert [problem.sentence for problem in told.problems] == [f"'{file}' must be there, it is missing: restore it"]
    assert (told.round, told.answered) == (0, False)
    file.write_bytes(content)
    (files / "imagesTr" / "phantom_1.nii.gz").write_bytes((files / "imagesTr" / "phantom_3.nii.gz").read_bytes())
    with pytest.raises(ConfigError, match=r"^the volumes of a project must stay as they are, those of '.*' or their"):
        go_on(tmp_path)


FRAGILE = Path(__file__).parents[1] / "support" / "fragile.py"
KILLS = {  # before the worklist of round 0 is there, and while each round is trained; in this order
    -1: ("rename project.json 1", "open split.json 1", "rename 00.partial 1"),
    0: ("batch 2", "half answers.npz 1", "rename rounds.jsonl 1"),
    1: ("query 1", "open scores.csv 1", "rename 02.partial 1"),
    2: ("half weights.pt 1",),
}


@pytest.mark.slow
def test_a_project_that_is_killed_again_and_again_gives_what_an_undisturbed_one_gives(files, labels, drawn, tmp_path):
    fragile = f"{FRAGILE}:Fragile"

    def start(name: str, moment: str) -> int:
        """Go on in a process of its own, which has imported everything but the strategy."""
        project = tmp_path / name / "project"
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            os.environ["FRAGILE"] = moment
            if (project / "project.json").exists():
                rounds.next_round(project, COMPUTING)
            else:
                rounds.new(
                    *(project, files / "imagesTr", COMPUTING),
                    labels=labels,
                    strategy=fragile,
                    settings=SETTINGS,
                    validation=[VALIDATION],
                    test=[TEST],
                )
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    left = {}
    for name, kills in (("undisturbed", {}), ("killed", KILLS)):
        project = tmp_path / name / "project"
        for index in range(-1, 3):
            if index >= 0:
                draw(project / "worklists" / f"{index:02d}", drawn)
            for moment in kills.get(index, ()):
                assert start(name, moment) in (-signal.SIGKILL, -signal.SIGXFSZ), moment
            following = project / "worklists" / f"{index + 1:02d}"
            while not (following.exists() if index < 2 else Project.open(project).rounds == 3):
                assert start(name, "never") == 0
        (found,) = Project.open(project).runs
        assert verify(found) == []
        assert not list(project.rglob(".*.partial"))
        stored, records = left_by(project)
        stored.pop("config.json")  # which says where the project is
        left[name] = (stored, records, sorted(str(path.relative_to(project)) for path in project.rglob("*")))
    assert len(found.records) == 3
    assert left["killed"] == left["undisturbed"]
