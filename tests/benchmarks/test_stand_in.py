"""Suites that are planned without their data."""

import pytest
from support.suites import write_suite

from albench.benchmarks.plan import plan_runs
from albench.benchmarks.stand_in import PlannedDatasets, StandIn
from albench.benchmarks.suite import load_suite
from albench.errors import DataError, MissingDataError
from albench.registry import DATASETS, available


def test_a_suite_of_the_paper_is_planned_by_the_size_that_the_paper_states():
    spleen, brats = (plan_runs(load_suite(f"paper-{name}"), published=True) for name in ("spleen", "brats"))
    assert (len(spleen), len(brats)) == (60, 60)
    assert brats[0].slices.train == 7750
    assert brats[0].slices.val == 2170
    assert brats[0].shape == (1, 240, 240)
    assert brats[0].slices.initial == 50 * 16  # every tenth of 155 slices
    assert sum((spleen[0].slices.train, spleen[0].slices.val, spleen[0].slices.test)) == 2525 + 644 + 481
    assert spleen[0].slices.train == pytest.approx(2525, rel=0.02)
    assert spleen[0].shape == (1, 512, 512)
    assert {run.rounds for run in spleen if run.spec.label != "full"} == {17}
    assert len({run.folder for run in spleen}) == 60


def test_a_size_follows_the_options_of_the_dataset():
    def planned(**settings):
        suite = load_suite(
            "paper-brats", seeds=[0], settings={f"data.{name}": value for name, value in settings.items()}
        )
        return plan_runs(suite, published=True)[0]

    assert planned(sequences=["flair", "t1"]).shape == (2, 240, 240)
    assert planned(size=[96, 128], context=1).shape == (3, 96, 128)
    assert planned(grade="any").published.cases == 335


def test_the_slices_of_a_size_are_those_of_its_cases():
    sizes = {entry.name: entry.cls for entry in available(DATASETS) if entry.name not in ("folder", "phantom")}
    published = {name: cls().published_size() for name, cls in sizes.items()}
    known = {name: size for name, size in published.items() if size}
    assert {"spleen", "brats", "hippocampus", "brain-tumor"} == known.keys()
    for size in known.values():
        assert len(size.counts) == size.cases
        assert sum(size.counts) == size.slices
        assert max(size.counts) - min(size.counts) <= 1
        assert all(side % 16 == 0 for side in size.shape[1:])


def test_slices_across_another_axis_have_no_published_size():
    for name in ("spleen", "brats"):
        settings = {"data.axis": "sagittal"}
        with pytest.raises(MissingDataError, match=r"must contain the folder Task09|does not contain it"):
            plan_runs(load_suite(f"paper-{name}", settings=settings, seeds=[0]), published=True)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({}, MissingDataError, "must contain the folder Task03_Liver"),
        ({"dataset": "spleen", "settings": {"data": {"root": "nowhere"}}}, MissingDataError, "Task09_Spleen"),
        ({"dataset": "folder", "settings": {"data": {"root": "nowhere"}}}, DataError, "nowhere"),
    ],
)
def test_data_that_are_said_to_be_somewhere_or_have_no_known_size_are_missed(tmp_path, settings, error, sentence):
    content = {"dataset": "liver", "settings": {}} | settings
    suite = write_suite(tmp_path, ["random"], **content)
    with pytest.raises(error, match=sentence):
        plan_runs(load_suite(str(suite)), published=True)


def test_a_run_still_needs_its_data():
    with pytest.raises(MissingDataError, match="albench data prepare spleen --download"):
        plan_runs(load_suite("paper-spleen", seeds=[0]))


def test_what_is_there_is_planned_by_itself_beside_what_is_not(tmp_path):
    suite = tmp_path / "study.yaml"
    suite.write_text("about: a test\ndatasets: [phantom, hippocampus]\nseeds: 1\nstrategies: [random, entropy]\n")
    runs = plan_runs(load_suite(str(suite)), published=True)
    assert [run.published is None for run in runs] == [True, True, False, False]
    assert {run.spec.dataset_name for run in runs if run.published} == {"hippocampus"}


def test_the_outline_of_a_dataset_takes_no_memory_and_reads_nothing():
    datasets = PlannedDatasets()
    data = datasets.make("spleen", {})
    assert isinstance(data, StandIn)
    prepared = datasets.prepare("spleen", {}, None, 1)
    assert prepared.images.shape == (3650, 1, 512, 512)
    assert prepared.images.base.nbytes < 1000
    assert data.defaults()["protocol.budget"] == 50
    with pytest.raises(DataError, match="a plan must not read volumes, 'case-0000' of 'spleen' stands for one"):
        data.load("case-0000")
