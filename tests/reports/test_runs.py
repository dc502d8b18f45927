"""Which runs a report includes, what it says about the others, and what it compares."""

import json
import shutil

import pytest
from support.made_runs import write_run, write_suite
from support.samples import invoke

from albench.errors import ConfigError
from albench.reports import load
from albench.reports.captions import compared, left_out, warnings
from albench.runs.documents import write_document
from albench.runs.layout import RunLayout
from albench.runs.records import FailureRecord
from albench.runs.store import write_failure


def sentences(folder, **options):
    return [problem.sentence for problem in load(folder, **options).collection.problems]


def labels(folder, **options):
    return {group.name: list(group.methods) for group in load(folder, **options).groups}


@pytest.fixture
def finished(tmp_path):
    return write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])


def test_a_suite_names_its_methods_and_groups(tmp_path):
    runs = [
        ("row 2", "small", write_run(tmp_path / "a", "star", 0, [0.5, 0.6])),
        ("row 1", "small", write_run(tmp_path / "b", "star", 0, [0.5, 0.7])),
        ("row 1", "large", write_run(tmp_path / "c", "star", 0, [0.5, 0.7, 0.8])),
    ]
    write_suite(tmp_path, runs)
    assert labels(tmp_path) == {"small": ["row 2", "row 1"], "large": ["row 1"]}
    assert load(tmp_path).collection.digest == "1a2b3c4d"


def test_runs_that_are_missing_failed_unfinished_or_damaged_are_named(tmp_path, finished):
    failed = write_run(tmp_path, "entropy", 0, [0.5], rounds=2)
    write_document(RunLayout(failed).failure, FailureRecord("out of memory.", 1, 3, ""))
    going = write_run(tmp_path, "entropy", 1, [0.5], rounds=2)
    broken = write_run(tmp_path, "entropy", 2, [0.5, 0.6, 0.7])
    with RunLayout(broken).records.open("a") as file:
        file.write('{"round": 3, "lab')
    absent = tmp_path / "made" / "entropy" / "seed-3-0"
    runs = [("random", "made", finished)] + [("entropy", "made", path) for path in (failed, going, broken, absent)]
    write_suite(tmp_path, runs)
    *others, damaged, missing = sentences(tmp_path)
    assert others == [
        "entropy on made, seed 0, failed in round 1 after 3 attempts: out of memory",
        "entropy on made, seed 1, is not finished: 1 of 3 rounds are done",
    ]
    assert damaged.startswith(
        f"entropy on made, seed 2, is left out: '{RunLayout(broken).records}', line 4, must hold JSON, it is damaged"
    )
    assert missing == "entropy on made, seed 3, is missing: it was not started"
    assert left_out(load(tmp_path).collection) == [
        "Failed: entropy, seed 0.",
        "Unfinished: entropy, seed 1.",
        "Damaged: entropy, seed 2.",
        "Missing: entropy, seed 3.",
    ]


def edit_dice(run, other):
    text = run.records.read_text()
    run.records.write_text(text.replace('"dice_slice": 0.6', '"dice_slice": 0.9', 1))


def swap_lines(run, other):
    first, second, third = run.records.read_text().splitlines()
    run.records.write_text(f"{first}\n{third}\n{second}\n")


def repeat_line(run, other):
    first, second, third = run.records.read_text().splitlines()
    run.records.write_text(f"{first}\n{second}\n{second}\n{third}\n")


def take_records(run, other):
    shutil.copy(other.records, run.records)


def take_weights(run, other):
    shutil.copy(other.round(2).weights, run.round(2).weights)


def take_predictions(run, other):
    shutil.copy(other.round(1).predictions, run.round(1).predictions)


def edit_query(run, other):
    text = run.round(0).query.read_text()
    run.round(0).query.write_text(text.replace("10", "99", 1))


def remove_split(run, other):
    run.split.unlink()


def edit_settings(run, other):
    run.config.write_text(run.config.read_text().replace('"epochs": 100', '"epochs": 5'))


def remove_settings(run, other):
    run.config.unlink()


def empty_environment(run, other):
    run.environment.write_text("{}")


DAMAGES = {
    edit_dice: "rounds.jsonl', line 2, was changed after it was written, its content does not match its SHA-256",
    swap_lines: "rounds.jsonl', line 2, must be round 1, it is round 2: a line was repeated, moved or removed",
    repeat_line: "rounds.jsonl', line 3, must be round 2, it is round 1: a line was repeated, moved or removed",
    take_records: "rounds.jsonl', line 1, was written after other content than is there now",
    take_weights: "weights.pt' was changed or replaced after it was written, it does not match its record",
    take_predictions: "predictions.npz' was changed or replaced after it was written, it does not match its record",
    edit_query: "query.json' was changed",
    remove_split: "split.json' is missing",
    edit_settings: "config.json' was changed after it was written, its content does not match its SHA-256",
    remove_settings: "config.json' is missing",
    empty_environment: "environment.json' must be as albench wrote it, albench is missing",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_or_changed_run_is_left_out_by_name_and_the_rest_is_reported(tmp_path, damage):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])
    victim = write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.8], side=16)
    other = write_run(tmp_path, "entropy", 1, [0.5, 0.7, 0.9], side=32)
    runs = [(folder.parent.name, "made", folder) for folder in tmp_path.glob("made/*/*")]
    write_suite(tmp_path, sorted(runs))
    damage(RunLayout(victim), RunLayout(other))
    code, said = invoke("report", tmp_path, "--format", "csv")
    assert code == 0, said
    assert "entropy on made, seed 0, is left out: '" in said
    assert DAMAGES[damage] in said
    results = load(tmp_path)
    assert left_out(results.collection) == ["Damaged: entropy, seed 0."]
    replicates = {label: curve.replicates for label, curve in results.groups[0].curves.items()}
    assert replicates == {"entropy": ((1, 0),), "random": ((0, 0),)}
    assert "# Damaged: entropy, seed 0." in (tmp_path / "report" / "csv" / "table1-made.csv").read_text().splitlines()


def test_a_damaged_run_without_a_suite_is_named_by_its_folder(tmp_path, finished):
    victim = RunLayout(write_run(tmp_path, "entropy", 3, [0.5, 0.6, 0.7]))
    victim.config.write_text("{")
    (sentence,) = sentences(tmp_path)
    assert sentence.startswith(f"entropy on made, seed 3, is left out: '{victim.config}' must hold JSON")
    assert labels(tmp_path) == {"made": ["random"]}


def test_a_run_in_the_folder_of_other_settings_is_left_out(tmp_path, finished):
    moved = write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7], settings={"training.epochs": 5})
    moved.rename(moved.with_name("seed-0-12345678"))
    (sentence,) = sentences(tmp_path)
    assert f"must hold the settings that its folder is named after, these belong to '{moved.name}'" in sentence


def test_a_round_without_a_record_does_not_count(tmp_path, finished):
    (finished / "rounds" / "03").mkdir()
    assert load(tmp_path).curves()["round"].max() == 2


def test_a_finished_run_that_failed_before_is_included(tmp_path, finished):
    write_failure(finished, "disk", "")
    assert sentences(tmp_path) == []


def test_a_run_that_failed_once_is_named_with_its_reason(tmp_path, finished):
    write_failure(write_run(tmp_path, "entropy", 0, [0.5], rounds=2), "the disk is full", "")
    assert sentences(tmp_path) == ["entropy on made, seed 0, failed in round 1 after 1 attempt: the disk is full"]


def test_a_run_of_another_version_is_left_out(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
    write_run(tmp_path, "random", 2, [0.5, 0.6], version="0.0.1")
    now = load(tmp_path).collection.runs[0].reader.stored_config.albench
    assert sentences(tmp_path) == [
        f"random on made, seed 2, is left out: it was written by albench 0.0.1, and most of the others by {now}"
    ]
    assert load(tmp_path).groups[0].curves["random"].replicates == ((0, 0), (1, 0))


def test_a_run_of_another_format_is_left_out(tmp_path, finished):
    other = RunLayout(write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7], version="0.1.0"))
    other.config.write_text(json.dumps(json.loads(other.config.read_text()) | {"format": 1}))
    assert sentences(tmp_path) == [
        f"entropy on made, seed 0, is left out: '{other.config}' must be of format 4, albench '0.1.0' wrote format 1: "
        "read it with that version, or use another folder"
    ]


def test_the_first_of_two_runs_of_a_method_and_a_seed_is_used(tmp_path, finished):
    write_run(tmp_path / "more", "random", 0, [0.1, 0.1, 0.1])
    assert sentences(tmp_path) == [
        f"random on made, seed 0, is left out: '{finished}' has the same method and seed and is used"
    ]
    assert load(tmp_path).groups[0].curves["random"].values.tolist() == [[0.5, 0.6, 0.7]]


def test_different_options_are_methods_and_different_protocols_are_groups(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6], options={"aggregation": "none", "share": 1})
    write_run(tmp_path, "star", 0, [0.5, 0.6], options={"aggregation": "self", "share": 1})
    assert labels(tmp_path) == {"made": ["star (aggregation=none)", "star (aggregation=self)"]}
    write_run(tmp_path, "star", 0, [0.5, 0.6], settings={"training.epochs": 5})
    found = labels(tmp_path)
    assert len(found) == 2
    assert all(name.startswith("made (") for name in found)
    assert sorted(map(len, found.values())) == [1, 2]


def test_a_run_of_another_protocol_is_left_out_of_its_suite(tmp_path):
    runs = [("random", "made", write_run(tmp_path, "random", seed, [0.5, 0.6])) for seed in range(2)]
    other = write_run(tmp_path, "entropy", 0, [0.9, 0.9], settings={"training.epochs": 5})
    write_suite(tmp_path, [*runs, ("entropy", "made", other)])
    assert sentences(tmp_path) == [
        "entropy on made, seed 0, is left out: training.epochs is 5 and not 100 as in most of the others"
    ]
    assert labels(tmp_path) == {"made": ["random"]}


def test_a_group_without_a_reference_borrows_one_that_differs_only_in_queries(tmp_path):
    settings = {"protocol.budget": 20}
    runs = [
        ("random", "b 5", write_run(tmp_path, "random", 0, [0.5, 0.6])),
        ("full", "b 5", write_run(tmp_path, "full", 0, [0.8], rounds=1)),
        ("random", "b 20", write_run(tmp_path, "random", 0, [0.5, 0.9], settings=settings)),
    ]
    write_suite(tmp_path, runs)
    results = load(tmp_path)
    assert results.group("b 20").borrowed == "b 5"
    assert results.group("b 20").supervised[0] == 0.8
    other = {"protocol.budget": 20, "training.epochs": 5}
    runs[2] = ("random", "b 20", write_run(tmp_path, "random", 0, [0.5, 0.9], settings=other))
    write_suite(tmp_path, runs)
    results = load(tmp_path)
    assert results.group("b 20").reference == []


def test_different_hardware_and_initial_labels_are_warned_about(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], device="NVIDIA", labeled=[12, 17])
    assert warnings(load(tmp_path).groups[0]) == [
        "Caution: the runs were computed on different hardware (NVIDIA, cpu).",
        "Caution: not all methods began with the same labels.",
    ]


def test_methods_of_another_folder_have_labels_of_their_own(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    write_run(tmp_path / "ours", "full", 0, [0.8], rounds=1)
    write_run(tmp_path / "theirs", "random", 0, [0.5, 0.7])
    write_run(tmp_path / "theirs", "full", 0, [0.9], rounds=1)
    write_run(tmp_path / "theirs", "random", 1, [0.5, 0.7], settings={"training.epochs": 5})
    both = {"compare": tmp_path / "theirs"}
    assert labels(tmp_path / "ours", **both) == {"made": ["random", "random (theirs)"]}
    rejected = sentences(tmp_path / "ours", **both)
    assert any("of theirs is not compared: the supervised reference is that of ours" in one for one in rejected)
    assert any("of theirs is not compared: training.epochs is 5 and not 100 in ours" in one for one in rejected)
    (group,) = load(tmp_path / "ours", **both).groups
    assert [run.seed for run in group.methods["random (theirs)"]] == [0]


def test_a_group_without_a_reference_has_that_of_the_other_folder(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    write_run(tmp_path / "theirs", "entropy", 0, [0.5, 0.7])
    for seed, dice in enumerate((0.9, 0.8)):
        write_run(tmp_path / "theirs", "full", seed, [dice], rounds=1)
    results = load(tmp_path / "ours", compare=tmp_path / "theirs")
    assert results.collection.problems == []
    (group,) = results.groups
    assert (list(group.methods), group.supervised[0]) == (["random", "entropy (theirs)"], pytest.approx(0.85))
    reference = "Supervised reference: 0.850 ± 0.071, all slices labeled, 2 seeds (0, 1), from theirs."
    assert reference in compared(results, group)


def test_a_readable_setting_is_named_rather_than_a_hash(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    settings = {"dataset.options": {"size": 64, "context": 0}, "data_key": "e"}
    write_run(tmp_path / "theirs", "random", 0, [0.5, 0.6], settings=settings)
    (rejected,) = sentences(tmp_path / "ours", compare=tmp_path / "theirs")
    assert rejected.endswith("is not compared: dataset.options.size is 64 and not None in ours")


def test_another_folder_of_another_version_is_labeled_with_it(tmp_path):
    write_run(tmp_path / "ours", "random", 0, [0.5, 0.6])
    write_run(tmp_path / "theirs", "random", 0, [0.5, 0.7], version="0.0.1")
    found = labels(tmp_path / "ours", compare=tmp_path / "theirs")
    assert found == {"made": ["random", "random (theirs, albench 0.0.1)"]}


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda text: "{", "suite.json' must hold JSON, it is damaged"),
        (lambda text: '{"format": 1, "albench": "0.1.0"}', "suite.json' must be of format 4, albench '0.1.0' wrote"),
        (lambda text: text.replace("chance", "best"), "suite.json' was changed after it was written"),
    ],
)
def test_a_damaged_manifest_is_named_and_all_runs_are_reported(tmp_path, finished, edit, sentence):
    write_suite(tmp_path, [("chance (random)", "made", finished)])
    path = tmp_path / "suite.json"
    path.write_text(edit(path.read_text()))
    code, said = invoke("report", tmp_path, "--format", "csv")
    assert code == 0, said
    assert f"all runs below '{tmp_path}' are reported under their own names: '{tmp_path}/{sentence}" in said
    results = load(tmp_path)
    assert labels(tmp_path) == {"made": ["random"]}
    assert left_out(results.collection) == ["Damaged: suite.json."]


def test_runs_behind_links_are_reported(tmp_path, finished):
    out = tmp_path / "gathered"
    out.mkdir()
    (out / "mine").symlink_to(finished)
    other = write_run(tmp_path / "elsewhere", "entropy", 0, [0.5, 0.6, 0.7])
    (out / "theirs").symlink_to(other.parents[1])
    assert labels(out) == {"made": ["random", "entropy"]}
    code, said = invoke("status", out)
    assert (code, said.count("finished")) == (0, 2)


def test_a_missing_table_of_metrics_is_made_anew(tmp_path, finished):
    path = RunLayout(finished).scores
    before = path.read_bytes()
    path.unlink()
    assert load(tmp_path).collection.problems == []
    assert path.read_bytes() == before


def test_a_folder_without_results_is_one_sentence(tmp_path, finished):
    assert invoke("report", tmp_path / "nowhere")[1].startswith("albench: runs must be in an existing folder")
    (tmp_path / "empty").mkdir()
    code, said = invoke("report", tmp_path / "empty")
    assert (code, "Traceback" in said) == (2, False)
    assert "a report needs a finished run of a strategy other than full" in said
    assert "give the folder of a suite, or the --out of albench run" in said
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
def test_a_wrong_option_is_one_sentence(tmp_path, finished, option, value, sentence):
    code, said = invoke("report", tmp_path, option, value)
    assert code == 2
    assert sentence in said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, finished):
    (tmp_path / "file").write_text("")
    code, said = invoke("report", tmp_path, "--out", tmp_path / "file", "--format", "csv")
    assert code == 2
    assert "a report must be written to a folder" in said


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("latex", "latex/tables.tex"),
        ("markdown", "tables.md"),
        ("csv", "csv/numbers-curves.csv"),
        ("html", "index.html"),
        ("html", "figures/curves-1.png"),
    ],
)
def test_a_report_replaces_nothing_but_regular_files(tmp_path, finished, wanted, name):
    code, said = invoke("report", tmp_path, "--out", tmp_path / "out", "--format", wanted)
    assert code == 0, said
    path = next((tmp_path / "out").glob(name.replace("curves-1", "*")))
    path.unlink()
    path.symlink_to("elsewhere")
    code, said = invoke("report", tmp_path, "--out", tmp_path / "out", "--format", wanted)
    assert code == 2
    assert f"'{path}' is a symbolic link: choose another path" in said
    assert path.is_symlink()


def test_names_whose_files_would_replace_each_other_are_rejected(tmp_path):
    runs = [
        (label, "made", write_run(tmp_path / str(index), "star", 0, [0.5, 0.6]))
        for index, label in enumerate(["row 1", "row-1"])
    ]
    write_suite(tmp_path, runs)
    with pytest.raises(ConfigError, match="must differ in letters or digits, 'row 1' and 'row-1' do not"):
        load(tmp_path)


def test_a_report_without_the_baseline_still_compares_with_the_best(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6])
    write_run(tmp_path, "entropy", 0, [0.5, 0.7])
    assert set(load(tmp_path).differences()["kind"]) == {"best rival"}
    with pytest.raises(ConfigError, match="a group must be one of made, got 'x'"):
        load(tmp_path).group("x")
