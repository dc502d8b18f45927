"""What a suite's file says now of the runs that its manifest lists."""

import pytest
import yaml

from albench.runs.live_suite import LiveSuite, Method, live_suite
from albench.runs.records import FORMAT, Manifest, ManifestRun
from albench.suite_file import DatasetEntry, StrategyEntry, VariantEntry, entry_digest


def run(strategy, seed=0, *, label=None, group="phantom", budget=None, **settings):
    """A run as a manifest lists it after it was started from the file."""
    variant = VariantEntry(group, {"protocol": {"budget": budget}} if budget else None)
    method = StrategyEntry(strategy, settings={"strategy": settings})
    digest = entry_digest(DatasetEntry("phantom"), variant, method)
    return ManifestRun(label or strategy, group, strategy, "phantom", seed, f"{strategy}/{seed}", digest)


@pytest.fixture
def live(tmp_path):
    """What a file with some content makes of some runs."""

    def call(runs, strategies, **more):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"dataset": "phantom", "strategies": strategies, **more}))
        return live_suite(Manifest(FORMAT, "mine", "1a2b3c4d", "1", "then", tuple(runs), str(path)))

    return call


def named(runs):
    return [(run.label, run.group, run.seed) for run in runs]


def entry(name, label=None, **settings):
    return {"strategy": name, "settings": {"strategy": settings}} | ({"label": label} if label else {})


def test_a_renamed_method_has_its_new_label_in_all_its_runs(live):
    runs = [run("random"), run("star", views=3), run("star", 7, views=3)]
    found = live(runs, [entry("star", "three views", views=3), entry("random", "chance")], about="now")
    assert named(found.runs) == [
        ("three views", "phantom", 0),
        ("three views", "phantom", 7),
        ("chance", "phantom", 0),
    ]
    assert (found.added, found.removed, found.about) == ((), (), "now")


def test_labels_that_are_exchanged_follow_their_methods(live):
    runs = [run("random", label="a"), run("entropy", label="b")]
    found = live(runs, [entry("random", "b"), entry("entropy", "a")])
    assert [(own.strategy, own.label) for own in found.runs] == [("random", "b"), ("entropy", "a")]


def test_a_removed_method_and_one_with_other_settings_are_told_apart_from_those_that_stay(live):
    runs = [run("random"), run("entropy"), run("star", views=3)]
    found = live(runs, [entry("random"), entry("star", views=5)])
    assert named(found.runs) == [("random", "phantom", 0)]
    assert [own.strategy for own in found.removed] == ["entropy", "star"]
    assert found.added == (Method("star", "", ""),)


def test_a_group_is_renamed_with_its_variant(live):
    runs = [run("random", group="three", budget=3)]
    variants = [{"group": "few", "settings": {"protocol": {"budget": 3}}}, {"group": "many"}]
    found = live(runs, [entry("random")], variants=variants)
    assert named(found.runs) == [("random", "few", 0)]
    assert found.added == (Method("random", "many", ""),)


def test_runs_that_are_not_of_the_file_stay_as_they_are_listed(live):
    other = ManifestRun("random", "hippocampus", "random", "hippocampus", 0, "other/0")
    assert live([other, run("random")], [entry("random")]).runs == (run("random"), other)


def test_without_its_file_a_suite_is_as_its_manifest_lists_it(tmp_path):
    runs = (run("random"), run("entropy"))
    for file in ("", str(tmp_path / "moved.yaml")):
        assert live_suite(Manifest(FORMAT, "mine", "1a2b3c4d", "1", "then", runs, file)) == LiveSuite("then", runs)


def test_a_file_that_cannot_be_read_is_one_sentence_and_changes_nothing(live):
    runs = (run("random"), run("entropy"))
    found = live(runs, [{"strategi": "random"}])
    assert found.runs == runs
    assert found.problem == (
        "methods are named as in the last run of the suite: an option must be known, got "
        "'mine.strategies[0].strategi': did you mean 'mine.strategies[0].strategy'?"
    )
