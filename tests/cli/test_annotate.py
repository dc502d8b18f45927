"""The commands of an annotation project, from a folder of volumes to their segmentations."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from support.annotator import draw_worklist
from support.markdown import Document
from support.people import SETTINGS
from support.samples import invoke, write_pair

from albench.cli.status import UNFINISHED, run_states
from albench.runs.store import write_failure

NEW = ("annotate", "new")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def truth(tmp_path):
    """Masks by case, of volumes in `data/imagesTr`."""
    rng, masks = np.random.default_rng(0), {}
    for index in range(5):
        mask = np.zeros((32, 32, 8), np.uint8)
        mask[5 : 12 + index, 6:15, 4:8] = 1
        masks[f"case_{index}"] = mask
        write_pair(tmp_path / "data", f"case_{index}", rng.normal(100, 10, mask.shape).astype(np.float32), mask)
    return masks


@pytest.fixture
def project(tmp_path, truth):
    """A project with a worklist."""
    labels = tmp_path / "labels"
    labels.mkdir()
    (tmp_path / "data" / "labelsTr" / "case_4.nii.gz").rename(labels / "case_4.nii.gz")
    folder, images = tmp_path / "project", tmp_path / "data" / "imagesTr"
    named = ("--images", images, "--labels", labels, "--validation", "case_4", "--strategy", "entropy")
    code, output = invoke(*NEW, folder, *named, "--budget", 2, *tiny("protocol.budget"), "--device", "cpu")
    assert code == 0, output
    assert output.removeprefix("preparing the volumes, once ") == (  # once in all tests
        "to draw: 8 slices, in 4 volumes: case_0 (2), case_1 (2), case_2 (2) and 1 more label files and list: "
        f"{folder}/worklists/00/worklist.html when they are drawn: albench annotate next {folder}"
    )
    return folder


def tiny(*others: str) -> list[str]:
    """Settings of small trainings, without some that are set otherwise."""
    chosen = {name: value for name, value in SETTINGS.items() if name not in others}
    settings = [f"{name}={str(value).replace(' ', '')}" for name, value in chosen.items()]
    return [part for setting in settings for part in ("--set", setting)]


def annotate(command: str, *arguments: object) -> tuple[int, str]:
    return invoke("annotate", command, *arguments, *(() if command == "status" else ("--device", "cpu")))


def state_of_runs(project):
    """(rounds, state) of every run, as `albench status` lists them."""
    states, problems, _ = run_states(project)
    assert problems == []
    return [tuple(cell.removesuffix(UNFINISHED) for cell in state.cells()[2:4]) for state in states]


def test_from_the_first_worklist_to_segmentations(project, truth, tmp_path, capsys):
    code, output = annotate("next", project)
    assert (code, output.split(":")[0]) == (1, "to draw")
    assert (
        "say --empty-is-done if slices as they were handed out are done, --leave-open to go on without them" in output
    )
    assert state_of_runs(project) == [("0", "waiting for drawings of round 0")]
    draw_worklist(project / "worklists" / "00", truth)
    code, output = annotate("status", project)
    assert code == 0
    assert "to draw: 4 slices of 8, 4 are done, in 4 volumes: case_0 (1), case_1 (1), case_2 (1) and 1 more" in output
    assert "has no foreground at k = 2: draw there, or say --empty-is-done" in output
    code, output = annotate("next", project, "--empty-is-done", "--minutes", 30, "--prefill")
    assert code == 0, output
    assert "round 0: trained on 8 slices, validation Dice slice " in output
    assert "to draw: 2 slices, in " in output
    code, output = annotate("status", project)
    assert "0 entropy 8 " in output
    assert "drawn in 0.5 hours" in output
    assert state_of_runs(project) == [("1", "waiting for drawings of round 1")]
    draw_worklist(project / "worklists" / "01", truth)
    code, output = annotate("next", project, "--empty-is-done", "--strategy", "random", "--budget", 3)
    assert code == 0, output
    assert "round 1: training" in output
    assert "round 1: trained on 10 slices" in output
    code, output = annotate("status", project)
    assert "from round 1 on: strategy: entropy -> random; protocol.budget: 2 -> 3" in output
    assert "to draw: 3 slices, in " in output
    assert sorted(state_of_runs(project)) == [("1", "finished"), ("1", "waiting for drawings of round 2")]
    ends = next(path for path in (project / "stages" / "1").rglob("config.json")).parent
    write_failure(ends, "the disk is full", "")
    assert ("1", "failed") in state_of_runs(project)
    assert "after 1 round: the disk is full" in invoke("status", project)[1]
    (ends / "failure.json").unlink()
    code, output = invoke("report", project, "--metric", "val_dice_volume", "--format", "csv")
    assert (code, "is not finished" in output) == (0, False), output
    curves = pd.read_csv(project / "report" / "val_dice_volume" / "csv" / "numbers-curves.csv")
    assert curves[["label", "labeled"]].to_numpy().tolist() == [["entropy", 8], ["random", 10]]
    out = tmp_path / "out"
    code, output = annotate("segment", project, "--out", out)
    assert (code, output) == (
        0,
        "segmented case_0 segmented case_1 segmented case_2 segmented case_3 segmented case_4 "
        f"wrote 5 segmentations to {out}/segmentations, each with a map in {out}/uncertainty look first at the volumes "
        f"on top of {out}/least-certain.csv",
    )
    written = nib.load(out / "segmentations" / "case_0.nii.gz")
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "data" / "imagesTr" / "case_0.nii.gz").affine)
    (example,) = Document.read(ROOT / "docs" / "annotate.md").fenced("python")
    capsys.readouterr()
    exec(compile(example.replace('"liver"', repr(str(project))), "<example>", "exec"), {})
    assert re.search(r"round +labeled .*\n0 +0 +10 ", capsys.readouterr().out)


def test_volumes_without_any_mask_make_a_project_and_its_rounds_have_no_metrics(truth, tmp_path):
    folder, images = tmp_path / "project", tmp_path / "data" / "imagesTr"
    code, output = invoke(
        *(*NEW, folder, "--images", images, "--strategy", "random", *tiny("training.stop"), "--device", "cpu")
    )
    assert code == 0, output
    draw_worklist(folder / "worklists" / "00", truth)
    code, output = annotate("next", folder, "--leave-open")
    assert code == 0, output
    assert "round 0: trained on 5 slices to draw: 3 slices, in " in output


def test_errors_in_label_files_are_told_and_nothing_is_trained(project, truth):
    draw_worklist(project / "worklists" / "00", truth)
    path = project / "worklists" / "00" / "case_0.nii.gz"
    image = nib.load(path)
    values = np.asarray(image.dataobj).copy()
    values[0, 0, 4] = 9
    nib.save(nib.Nifti1Image(values, image.affine), path)
    code, output = annotate("next", project, "--empty-is-done")
    assert code == 1
    assert f"error: labels must be 0, 1 foreground or 255, '{path}' has 9 in 1 voxels and does not count" in output
    assert output.endswith(f"when errors are mended: albench annotate next {project}")
    assert "round 0" not in output


def test_what_deserves_a_look_is_told_before_a_round_goes_on_with_it(project, truth):
    folder = project / "worklists" / "00"
    draw_worklist(folder, truth)
    image = nib.load(folder / "case_0.nii.gz")
    values = np.asarray(image.dataobj).copy()
    values[..., 6] = truth["case_0"][..., 6]
    for name in ("case_0.nii.gz", "case_1.nii.gz"):
        nib.save(nib.Nifti1Image(values, image.affine), folder / name)
    code, output = annotate("next", project, "--empty-is-done")
    assert code == 0, output
    before, _, _ = output.partition("round 0: training")
    assert (
        "look: every volume should have a drawing of its own, those of 'case_0' and 'case_1' are equal: look" in before
    )
    assert "2 slices that nobody asked for will be trained on, too" in before


def test_a_project_that_is_refused_leaves_everything_as_it_was(project, truth, tmp_path):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    images = tmp_path / "data" / "imagesTr"
    code, output = invoke(*NEW, project, "--images", images, "--strategy", "random")
    assert (code, output) == (
        2,
        f"albench: a new project needs a folder without one, '{project}' holds one: choose another folder, or go on "
        "with albench annotate next",
    )
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    code, output = invoke(*NEW, tmp_path / "other", "--images", images, "--strategy", "entropie")
    assert (code, "did you mean 'entropy'?" in output) == (2, True)
    assert not (tmp_path / "other").exists()


def test_what_is_wrong_is_one_sentence_and_exit_code_2(call, tmp_path, project):
    missing = tmp_path / "missing"
    for arguments, sentence in (
        (("status", missing), f"PROJECT must be the folder of a project, '{missing}' has no project.json: make one"),
        (("next", project, "--from", missing), f"label files must be in a folder, '{missing}' is none: name the"),
        (("next", project, "--set", "training.epoch=3"), "an option must be known, got 'training.epoch': did you mean"),
        (("segment", project, "--out", missing), f"a project must have a trained network to predict with, '{project}'"),
    ):
        code, out, err = call("annotate", *arguments)
        assert code == 2, out
        assert err.startswith(f"albench: {sentence}")
