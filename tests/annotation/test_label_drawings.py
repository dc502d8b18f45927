"""Real label files, drawn and saved as tools do, give the records of a run, and are handed out with predictions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.annotator import draw_worklist
from support.people import COMPUTING, SETTINGS, TEST, VALIDATION, split_seed, visible
from support.slow import slow_but

from albench import run
from albench.annotation import rounds
from albench.annotation.label_drawings import LabelDrawings
from albench.annotation.project import Project
from albench.annotation.returned import Rules
from albench.annotation.rounds import Worklist
from albench.callback import NullCallback
from albench.errors import AlbenchError
from albench.masks import UNKNOWN
from albench.runs import verify

HIPPOCAMPUS = Path(__file__).parents[3] / "shared" / "data" / "Task04_Hippocampus"
DONE = replace(
    COMPUTING,
    drawings=lambda dataset, prepared: LabelDrawings(dataset, prepared, Rules(dataset.class_names, True)),
)
ASKING = replace(
    COMPUTING, drawings=lambda dataset, prepared: LabelDrawings(dataset, prepared, Rules(dataset.class_names))
)


@pytest.fixture
def make(files, labels, tmp_path):
    """Make a project of the images, whose slices are drawn in label files."""

    def start(strategy: str, **settings: object) -> Worklist:
        return rounds.new(
            *(tmp_path / "project", files / "imagesTr", DONE),
            strategy=strategy,
            labels=labels,
            settings=SETTINGS | settings,
            name="phantom",
            validation=[VALIDATION],
            test=[TEST],
        )

    return start


class Notices(NullCallback):
    """Keeps what a user is told."""

    def __init__(self):
        self.said = []

    def on_notice(self, text):
        self.said.append(text)


def go_on(tmp_path, computing=DONE, **options: object) -> Worklist:
    return rounds.next_round(tmp_path / "project", computing, **options)


@pytest.mark.parametrize("strategy", slow_but(["entropy"], ["entropy", "star"]))
def test_label_files_that_tools_have_saved_give_the_records_of_a_run(make, files, truth, tmp_path, strategy):
    settings = SETTINGS | {"protocol.rounds": 3, "data.root": str(files), "protocol.split": [4, 1, 1]}
    settings["protocol.split_seed"] = split_seed()
    expected = run(strategy, "folder", settings=settings, out=tmp_path / "runs", device="cpu", share=False)
    worklist = make(strategy, **{"protocol.rounds": 3})
    for index, record in enumerate(expected.records):
        assert (worklist.round, worklist.missing) == (index, worklist.asked)
        draw_worklist(worklist.folder, truth)
        worklist = go_on(tmp_path, prefill=index > 1)  # which changes what is handed out, and nothing else
        assert worklist.asked == expected.query(index).slices
        (found,) = Project.open(tmp_path / "project").runs
        assert visible(found.records[index].results()) == visible(record.results())
        assert verify(found) == []
    assert worklist.finished


@pytest.mark.slow
@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="the real data are not available")
def test_five_rounds_on_the_hippocampus_give_the_records_of_a_run(tmp_path):
    names = sorted(path.name for path in (HIPPOCAMPUS / "imagesTr").glob("hippocampus_*.nii.gz"))[:8]
    cases, masks = [name.removesuffix(".nii.gz") for name in names], tmp_path / "masks"
    for name in names:
        for folder in ("imagesTr", "labelsTr"):
            (tmp_path / "mri" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(HIPPOCAMPUS / folder / name, tmp_path / "mri" / folder)
    masks.mkdir()
    for name in names[6:]:
        shutil.copy(HIPPOCAMPUS / "labelsTr" / name, masks)
    settings = SETTINGS | {"protocol.rounds": 5, "protocol.budget": 8, "data.classes": {"anterior": 1, "posterior": 2}}
    split = {"protocol.split": [6, 1, 1], "protocol.split_seed": split_seed(cases, *cases[6:])}
    at = {"data.root": str(tmp_path / "mri")}
    expected = run(
        "entropy", "folder", settings=settings | split | at, out=tmp_path / "runs", device="cpu", share=False
    )
    truth = {
        case: np.asarray(nib.load(HIPPOCAMPUS / "labelsTr" / name).dataobj)
        for case, name in zip(cases, names, strict=True)
    }
    worklist = rounds.new(
        *(tmp_path / "project", tmp_path / "mri" / "imagesTr", DONE),
        strategy="entropy",
        labels=masks,
        settings=settings,
        name="mri",
        validation=[cases[6]],
        test=[cases[7]],
    )
    for record in expected.records:
        draw_worklist(worklist.folder, truth)
        worklist = go_on(tmp_path)
        (found,) = Project.open(tmp_path / "project").runs
        assert visible(found.records[record.round].results()) == visible(record.results())
        assert worklist.asked == expected.query(record.round).slices
    assert worklist.round == 6


def test_slices_are_handed_out_with_predictions_that_count_once_somebody_has_saved_them(make, truth, tmp_path):
    worklist = make("random")
    draw_worklist(worklist.folder, truth)
    notices = Notices()
    worklist = go_on(tmp_path, replace(DONE, callback=notices), prefill=True)
    assert [text for text in notices.said if text.startswith("caution: the network of round 0 ")]
    network, _ = rounds._trained_network(Project.open(tmp_path / "project"), DONE)
    for case in {name.case for name in worklist.asked}:
        wanted = [name.position for name in worklist.asked if name.case == case]
        handed_out = np.asarray(nib.load(worklist.folder / f"{case}.nii.gz").dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
        assert set(np.flatnonzero((handed_out != UNKNOWN).any((1, 2)))) == {*wanted}
        for predicted in network.predict(case, wanted):
            np.testing.assert_array_equal(handed_out[predicted.position], predicted.mask)
    text = (worklist.folder / "worklist.csv").read_text()
    assert text.count(",yes,") == len(worklist.asked)
    told = go_on(tmp_path)
    assert (told.round, told.missing) == (1, worklist.asked)
    (problem,) = told.problems
    assert problem.sentence == (
        f"--empty-is-done needs a worklist that somebody has worked on, no file in '{worklist.folder}' was saved since "
        "it was written: draw its slices, or save one of the files if there is nothing to draw"
    )
    first = sorted({name.case for name in worklist.asked})[0]
    path = worklist.folder / f"{first}.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(nib.load(path).dataobj).astype(np.int16), nib.load(path).affine), path)
    assert rounds.status(tmp_path / "project", ASKING).missing == worklist.asked
    assert rounds.status(tmp_path / "project", DONE).answered
    assert go_on(tmp_path).round == 2


def test_a_round_goes_on_with_fewer_slices_and_asks_for_the_others_again(make, truth, tmp_path):
    worklist = make("random", **{"protocol.budget": 99})
    (first, *_) = cases = sorted({name.case for name in worklist.asked})
    assert go_on(tmp_path, ASKING, leave_open=True).round == 0  # nothing is drawn at all
    draw_worklist(worklist.folder, truth, [first])
    following = go_on(tmp_path, ASKING, leave_open=True)
    assert (following.round, following.missing) == (1, following.asked)
    (found,) = Project.open(tmp_path / "project").runs
    assert found.records[0].labeled == len(found.answers(0)) > 0
    assert set(worklist.missing) - set(following.asked) == {name for name in worklist.asked if name.case == first}
    assert len(following.asked) == 8 * len(cases) - len(found.answers(0))
    draw_worklist(following.folder, truth)
    assert go_on(tmp_path).finished
    (found,) = Project.open(tmp_path / "project").runs
    assert [record.unlabeled for record in found.records] == [len(following.asked), 0]
    assert verify(found) == []


def test_files_of_annotators_beside_the_one_that_was_handed_out(make, truth, tmp_path):
    worklist = make("random")
    draw_worklist(worklist.folder, truth)
    case = worklist.asked[0].case
    path = worklist.folder / f"{case}.nii.gz"
    image = nib.load(path)
    values = np.asarray(image.dataobj).copy()
    for name, shift in (("anna", 0), ("bert", 1)):
        nib.save(nib.Nifti1Image(np.roll(values, shift, 0), image.affine), worklist.folder / f"{case}-{name}.nii.gz")
    path.unlink()
    told = rounds.status(tmp_path / "project", DONE)
    assert not told.answered
    assert "choose how masks are joined with --raters majority, any, all or first" in " ".join(
        problem.sentence for problem in told.problems
    )
    joined = replace(
        DONE,
        drawings=lambda dataset, prepared: LabelDrawings(
            dataset, prepared, Rules(dataset.class_names, True, raters="first")
        ),
    )
    assert rounds.status(tmp_path / "project", joined).answered


def test_minutes_are_those_of_the_worklist_however_often_they_are_told(make, truth, tmp_path):
    worklist = make("random")
    go_on(tmp_path, minutes=10)
    draw_worklist(worklist.folder, truth)
    go_on(tmp_path, minutes=25)
    go_on(tmp_path, minutes=5.5)
    assert Project.open(tmp_path / "project").minutes == {0: 25, 1: 5.5}


@pytest.mark.parametrize("size", [None, [48, 48]])
def test_segmentations_are_on_the_grids_of_the_images_and_score_as_the_record_says(make, files, truth, tmp_path, size):
    with pytest.raises(AlbenchError) as told:
        list(
            rounds.segment(
                make("random", **({"data.size": size} if size else {})).folder.parents[1], tmp_path / "out", DONE
            )
        )
    assert str(told.value) == (
        f"a project must have a trained network to predict with, '{tmp_path / 'project'}' has no finished round: draw "
        "the slices of its worklist, and go on with albench annotate next"
    )
    draw_worklist(tmp_path / "project" / "worklists" / "00", truth)
    go_on(tmp_path)
    cases = [one.case for one in rounds.segment(tmp_path / "project", tmp_path / "out", DONE)]
    assert cases == sorted(truth)
    (found,) = Project.open(tmp_path / "project").runs
    for case in cases:
        image, mask = (
            nib.load(folder / f"{case}.nii.gz") for folder in (files / "imagesTr", tmp_path / "out" / "segmentations")
        )
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
    of_test = np.asarray(nib.load(tmp_path / "out" / "segmentations" / f"{TEST}.nii.gz").dataobj) > 0
    dice = 2 * (of_test & (truth[TEST] > 0)).sum() / (of_test.sum() + (truth[TEST] > 0).sum())
    assert found.records[0].test.dice_volume == pytest.approx(dice, abs=1e-6)
    assert (tmp_path / "out" / "least-certain.csv").read_text().count("\n") == 1 + len(cases)
