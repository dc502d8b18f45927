"""Which runs a report takes, what it says about the others, and what it compares."""

import json

import pytest
from support.made_runs import write_plan, write_run
from support.samples import invoke

from albench.errors import ConfigError, StoreError
from albench.reports import load
from albench.reports.captions import left_out, warnings


def sentences(folder, **options):
    return [problem.sentence for problem in load(folder, **options).collection.problems]


def labels(folder, **options):
    return {group.name: list(group.methods) for group in load(folder, **options).groups}


@pytest.fixture
def finished(tmp_path):
    return write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])


def test_a_suite_names_its_methods_and_groups(tmp_path):
    runs = [
        ("row 2", "small", write_run(tmp_path, "star", 0, [0.5, 0.6], folder="a/seed-0-1")),
        ("row 1", "small", write_run(tmp_path, "star", 0, [0.5, 0.7], folder="b/seed-0-2")),
        ("row 1", "large", write_run(tmp_path, "star", 0, [0.5, 0.7, 0.8], folder="c/seed-0-3")),
    ]
    write_plan(tmp_path, runs)
    assert labels(tmp_path) == {"small": ["row 2", "row 1"], "large": ["row 1"]}
    assert load(tmp_path).collection.digest == "1a2b3c4d"


def test_runs_that_are_missing_failed_unfinished_or_damaged_are_named(tmp_path, finished):
    failed = write_run(tmp_path, "entropy", 0, [0.5], rounds=2)
    (failed / "failure.json").write_text(json.dumps({"error": "out of memory.", "round": 1, "attempts": 3}))
    going = write_run(tmp_path, "entropy", 1, [0.5], rounds=2)
    broken = write_run(tmp_path, "entropy", 2, [0.5, 0.6, 0.7])
    with (broken / "rounds.jsonl").open("a") as file:
        file.write('{"round": 3, "lab')
    absent = tmp_path / "made" / "entropy" / "seed-3-0"
    runs = [("random", "made", finished)] + [("entropy", "made", path) for path in (failed, going, broken, absent)]
    write_plan(tmp_path, runs)
    assert sentences(tmp_path) == [
        "entropy on made, seed 0, failed in round 1 after 3 attempts: out of memory",
        "entropy on made, seed 1, is not finished: 1 of 3 rounds are done",
        f"entropy on made, seed 2, cannot be read: '{broken / 'rounds.jsonl'}' must hold one JSON record per line, it "
        "is damaged: remove the run",
        "entropy on made, seed 3, is missing: it was not started",
    ]
    assert left_out(load(tmp_path).collection) == [
        "Failed: entropy, seed 0.",
        "Unfinished: entropy, seed 1.",
        "Damaged: entropy, seed 2.",
        "Missing: entropy, seed 3.",
    ]


def test_a_round_that_was_begun_and_not_recorded_does_not_count(tmp_path, finished):
    (finished / "rounds" / "03").mkdir()
    assert load(tmp_path).curves()["round"].max() == 2


def test_a_finished_run_that_failed_before_is_taken(tmp_path, finished):
    (finished / "failure.json").write_text(json.dumps({"error": "disk", "round": 1, "attempts": 1}))
    assert sentences(tmp_path) == []


def test_a_run_of_another_version_is_left_out(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
    write_run(tmp_path, "random", 2, [0.5, 0.6], version="0.0.1")
    now = load(tmp_path).collection.runs[0].config["albench"]
    assert sentences(tmp_path) == [
        f"random on made, seed 2, is left out: albench 0.0.1 wrote it, and {now} most of the others"
    ]
    assert load(tmp_path).groups[0].curves["random"].seeds == (0, 1)


def test_a_run_of_another_format_cannot_be_read(tmp_path, finished):
    other = write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7])
    config = json.loads((other / "config.json").read_text()) | {"format": 2}
    (other / "config.json").write_text(json.dumps(config))
    (sentence,) = sentences(tmp_path)
    assert "entropy on made, seed 0, cannot be read" in sentence
    assert "must be of format 1" in sentence


def test_of_two_runs_of_a_method_and_a_seed_the_first_is_taken(tmp_path, finished):
    write_run(tmp_path, "random", 0, [0.1, 0.1, 0.1], folder="made/random/seed-0-later")
    assert sentences(tmp_path) == [
        f"random on made, seed 0, is left out: '{finished}' is the same method and seed, and is taken"
    ]
    assert load(tmp_path).groups[0].curves["random"].values.tolist() == [[0.5, 0.6, 0.7]]


def test_options_that_differ_make_methods_and_protocols_that_differ_make_groups(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6], options={"aggregation": "none", "share": 1}, folder="1/seed-0-1")
    write_run(tmp_path, "star", 0, [0.5, 0.6], options={"aggregation": "self", "share": 1}, folder="2/seed-0-2")
    assert labels(tmp_path) == {"made": ["star (aggregation=none)", "star (aggregation=self)"]}
    write_run(tmp_path, "star", 0, [0.5, 0.6], settings={"training.epochs": 5}, folder="3/seed-0-3")
    found = labels(tmp_path)
    assert len(found) == 2
    assert all(name.startswith("made (") for name in found)
    assert sorted(map(len, found.values())) == [1, 2]


def test_a_run_of_another_protocol_is_refused_by_its_suite(tmp_path):
    runs = [("random", "made", write_run(tmp_path, "random", seed, [0.5, 0.6])) for seed in range(2)]
    other = write_run(tmp_path, "entropy", 0, [0.9, 0.9], settings={"training.epochs": 5})
    write_plan(tmp_path, [*runs, ("entropy", "made", other)])
    assert sentences(tmp_path) == [
        "entropy on made, seed 0, is left out: training.epochs is 5 and not 100 as in most of the others"
    ]
    assert labels(tmp_path) == {"made": ["random"]}


def test_a_group_without_a_reference_borrows_that_of_another_way_to_buy(tmp_path):
    settings = {"protocol.budget": 20}
    runs = [
        ("random", "b 5", write_run(tmp_path, "random", 0, [0.5, 0.6], folder="1/seed-0-1")),
        ("full", "b 5", write_run(tmp_path, "full", 0, [0.8], rounds=1, folder="2/seed-0-1")),
        ("random", "b 20", write_run(tmp_path, "random", 0, [0.5, 0.9], settings=settings, folder="3/seed-0-1")),
    ]
    write_plan(tmp_path, runs)
    results = load(tmp_path)
    assert results.group("b 20").borrowed == "b 5"
    assert results.group("b 20").supervised[0] == 0.8
    other = {"protocol.budget": 20, "training.epochs": 5}
    runs[2] = ("random", "b 20", write_run(tmp_path, "random", 0, [0.5, 0.9], settings=other, folder="4/seed-0-1"))
    write_plan(tmp_path, runs)
    results = load(tmp_path)
    assert results.group("b 20").reference == []


def test_mixed_hardware_versions_and_first_labels_are_warned_about(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], device="NVIDIA", labeled=[12, 17])
    assert warnings(load(tmp_path).groups[0]) == [
        "Caution: the runs were computed on different hardware (NVIDIA, cpu).",
        "Caution: not all methods began with the same labels.",
    ]


def test_another_folder_stands_beside_with_names_of_its_own(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    write_run(tmp_path / "ours", "full", 0, [0.8], rounds=1)
    write_run(tmp_path / "theirs", "random", 0, [0.5, 0.7])
    write_run(tmp_path / "theirs", "full", 0, [0.9], rounds=1)
    write_run(tmp_path / "theirs", "random", 1, [0.5, 0.7], settings={"training.epochs": 5})
    both = {"compare": tmp_path / "theirs"}
    assert labels(tmp_path / "ours", **both) == {"made": ["random", "random (theirs)"]}
    refused = sentences(tmp_path / "ours", **both)
    assert any("of theirs is not compared: the supervised reference is that of ours" in one for one in refused)
    assert any("of theirs is not compared: training.epochs is 5 and not 100 in ours" in one for one in refused)
    (group,) = load(tmp_path / "ours", **both).groups
    assert [run.seed for run in group.methods["random (theirs)"]] == [0]


def test_of_the_settings_that_differ_one_that_can_be_read_is_named(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    path = write_run(tmp_path / "theirs", "random", 0, [0.5, 0.6], settings={"dataset.options": {"size": 64}})
    config = json.loads((path / "config.json").read_text()) | {"data_key": "e"}
    (path / "config.json").write_text(json.dumps(config))
    (refused,) = sentences(tmp_path / "ours", compare=tmp_path / "theirs")
    assert refused.endswith("is not compared: dataset.options.size is 64 and not None in ours")


def test_another_version_that_stands_beside_is_marked(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    write_run(tmp_path / "theirs", "random", 0, [0.5, 0.7], version="0.0.1")
    found = labels(tmp_path / "ours", compare=tmp_path / "theirs")
    assert found == {"made": ["random", "random (theirs, albench 0.0.1)"]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "must be a suite's plan of format 1"), ('{"format": 2}', "must be a suite's plan of format 1")],
)
def test_a_damaged_plan_is_refused(tmp_path, finished, text, sentence):
    (tmp_path / "suite.json").write_text(text)
    with pytest.raises(StoreError, match=sentence):
        load(tmp_path)


def test_what_cannot_be_reported_is_one_sentence(tmp_path, finished):
    assert invoke("report", tmp_path / "nowhere")[1].startswith("albench: runs must be in an existing folder")
    (tmp_path / "empty").mkdir()
    code, said = invoke("report", tmp_path / "empty")
    assert (code, "Traceback" in said) == (2, False)
    assert "a report needs a finished run of a strategy other than full" in said
    assert "give the folder in which albench run or a suite left its runs" in said
    write_run(tmp_path / "begun", "random", 0, [0.5], rounds=2)
    code, said = invoke("report", tmp_path / "begun")
    assert code == 2
    assert said.endswith("has none: random on made, seed 0, is not finished: 1 of 3 rounds are done")
    write_run(tmp_path / "only", "full", 0, [0.5])
    assert invoke("report", tmp_path / "only")[0] == 2


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--metric", "dice", "--metric must be one of dice_slice, dice_foreground, dice_volume, hd95"),
        ("--format", "word", "--format must be one of latex, markdown, csv, html, all, got 'word'"),
        ("--baseline", "chance", "--baseline must be one of random, got 'chance'"),
        ("--margin", "-1", "--margin must be at least 0, got -1.0"),
    ],
)
def test_an_option_that_is_wrong_is_one_sentence(tmp_path, finished, option, value, sentence):
    code, said = invoke("report", tmp_path, option, value)
    assert code == 2
    assert sentence in said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, finished):
    (tmp_path / "file").write_text("")
    code, said = invoke("report", tmp_path, "--out", tmp_path / "file", "--format", "csv")
    assert code == 2
    assert "a report must be written to a folder" in said


def test_names_whose_files_would_take_each_others_place_are_refused(tmp_path):
    runs = [
        (label, "made", write_run(tmp_path, "star", 0, [0.5, 0.6], folder=f"{index}/seed-0-1"))
        for index, label in enumerate(["row 1", "row-1"])
    ]
    write_plan(tmp_path, runs)
    with pytest.raises(ConfigError, match="must differ in letters or digits, 'row 1' and 'row-1' do not"):
        load(tmp_path)


def test_a_report_without_the_baseline_still_compares_with_the_best(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6])
    write_run(tmp_path, "entropy", 0, [0.5, 0.7])
    assert set(load(tmp_path).differences()["kind"]) == {"best rival"}
    with pytest.raises(ConfigError, match="a group must be one of made, got 'x'"):
        load(tmp_path).group("x")
