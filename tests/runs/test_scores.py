"""One table of many runs: suite, group, label and options, by which pandas groups them."""

import re

import pytest
from support.made_runs import write_run, write_suite

from albench.errors import StoreError
from albench.reports import load
from albench.runs import load_runs
from albench.runs.manifest import write_manifest
from albench.runs.records import FORMAT, Manifest, ManifestRun
from albench.suite_file import DatasetEntry, StrategyEntry, VariantEntry, entry_digest

_NAMED = ("suite", "label", "strategy")


def names(table, *columns):
    """The distinct rows of some columns, in order."""
    return [*table[list(columns)].drop_duplicates().itertuples(index=False, name=None)]


def test_runs_without_a_suite_have_the_labels_and_groups_of_their_report(tmp_path):
    for passes in (5, 20):
        write_run(tmp_path, "bald", 0, [0.5, 0.6], options={"passes": passes})
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "random", 1, [0.5, 0.6], title="other")
    table = load_runs(tmp_path)
    expected = [
        ("", "made", "bald (passes=20)"),
        ("", "made", "bald (passes=5)"),
        ("", "made", "random"),
        ("", "other", "random"),
    ]
    assert sorted(names(table, "suite", "group", "label")) == expected
    reported = {(group.name, label) for group in load(tmp_path).groups for label in group.methods}
    assert {(group, label) for _, group, label in expected} == reported
    write_run(tmp_path, "random", 1, [0.5, 0.6], settings={"training.epochs": 7})
    groups = {name for name, _ in names(load_runs(tmp_path), "group", "label")}
    assert groups == {"made (training.epochs=100)", "made (training.epochs=7)", "other"}


def test_groups_are_named_by_few_settings_and_otherwise_by_a_hash(tmp_path):
    def groups(folder, *changes):
        for change in changes:
            write_run(tmp_path / folder, "random", 0, [0.5, 0.6], settings=change)
        return sorted(name.removeprefix("made ") for (name,) in names(load_runs(tmp_path / folder), "group"))

    usual = {"protocol.budget": 5}
    found = groups("few", usual, {"protocol.budget": 10, "training.lr": 0.01})
    assert found == ["(protocol.budget=10, training.lr=0.01)", "(protocol.budget=5, training.lr=0.0001)"]
    many = {"training.lr": 0.01, "training.lr_incremental": 0.001, "training.batch_size": 4, "training.epochs": 7}
    for folder, change in (("many", many), ("data", {"data_key": "another"})):
        first, second = groups(folder, {}, change)
        assert all(re.fullmatch(r"\([0-9a-f]{8}\)", name) for name in (first, second)), (first, second)


def test_runs_of_a_suite_have_its_labels_and_groups_and_others_beside_them_their_own(tmp_path):
    suite = tmp_path / "mine"
    listed = [write_run(suite, "random", seed, [0.5, 0.6]) for seed in range(2)]
    write_suite(suite, [("by chance", "MRI", folder) for folder in listed], name="my suite")
    write_run(suite, "entropy", 0, [0.5, 0.6])
    for place in (suite, tmp_path):
        assert sorted(names(load_runs(place), "suite", "group", "label", "strategy", "seed")) == [
            ("", "made", "entropy", "entropy", 0),
            ("my suite", "MRI", "by chance", "random", 0),
            ("my suite", "MRI", "by chance", "random", 1),
        ]


def test_pandas_groups_runs_by_label_and_by_what_is_not_the_default(tmp_path):
    common = {"protocol.budget": 100, "protocol.rounds": 16, "training.batch_size": 32}
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings=common)
    write_run(tmp_path, "random", 1, [0.5, 0.7], settings=common | {"training.lr": 0.0005, "protocol.split": (2, 1, 1)})
    table = load_runs(tmp_path).query("metric == 'dice_volume' and case == 'all' and round == 1")
    assert table.groupby("options").value.mean().to_dict() == pytest.approx(
        {"": 0.6, "protocol.split=[2,1,1], training.lr=0.0005": 0.7}
    )
    assert table.groupby(["label", "seed"]).value.mean().to_dict() == {("random", 0): 0.6, ("random", 1): 0.7}


def test_a_damaged_list_of_a_suite_is_one_sentence(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    (tmp_path / "suite.json").write_text("{")
    with pytest.raises(StoreError, match="start the suite again, or remove the file to report on all runs below it"):
        load_runs(tmp_path)


def test_a_renamed_method_has_its_new_name_and_a_removed_one_its_old_one(tmp_path):
    file, suite = tmp_path / "mine.yaml", tmp_path / "runs"
    methods = [StrategyEntry("random"), StrategyEntry("entropy")]
    digests = [entry_digest(DatasetEntry("phantom"), VariantEntry("phantom"), method) for method in methods]
    runs = [
        ManifestRun(own.strategy, "phantom", own.strategy, "phantom", 0, str(folder.relative_to(suite)), digest)
        for own, digest in zip(methods, digests, strict=True)
        for folder in [write_run(suite, own.strategy, 0, [0.5, 0.6])]
    ]
    write_manifest(suite, Manifest(FORMAT, "mine", "1a2b3c4d", "1", "", tuple(runs), str(file)))

    def labels(text):
        file.write_text(text)
        return set(names(load_runs(suite), *_NAMED))

    as_listed = {("mine", "random", "random"), ("mine", "entropy", "entropy")}
    assert labels("dataset: phantom\nstrategies: [random, entropy]\n") == as_listed
    renamed = "dataset: phantom\nstrategies: [{strategy: random, label: by chance}]\n"
    assert labels(renamed) == {("mine", "by chance", "random"), ("mine", "entropy", "entropy")}
    reported = {label for group in load(suite).groups for label in group.methods}
    assert reported == {"by chance"}
    assert labels("strategies: 3\n") == as_listed
    file.unlink()
    assert set(names(load_runs(suite), *_NAMED)) == as_listed
