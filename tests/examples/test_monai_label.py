"""What `examples/monai-label` does with a project, without MONAI Label, whose interface is a stand-in."""

from __future__ import annotations

import csv
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from albench_monai_label.open_project import OpenProject
from albench_monai_label.options import Options
from numpy.typing import NDArray
from support import monai_label
from support.people import SETTINGS

from albench.annotation import Rules, rounds
from albench.annotation.label_drawings import LabelDrawings
from albench.errors import AlbenchError, ConfigError
from albench.files import locked
from albench.loop import Execution
from albench.masks import UNKNOWN

COMPUTING = rounds.Computing(
    Execution(torch.device("cpu")),
    lambda dataset, prepared: LabelDrawings(dataset, prepared, Rules(dataset.class_names)),
)
ONE_CLASS = {name: value for name, value in SETTINGS.items() if name != "training.stop"}
TWO_CLASSES = ONE_CLASS | {"data.classes": {"head": [1], "tail": [2]}}


@pytest.fixture
def make(tmp_path) -> Callable[..., OpenProject]:
    """Make a project of three volumes of 6 slices, and open it."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in ("anna", "bert", "carl"):
        values = rng.normal(100, 10, (32, 30, 6)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), tmp_path / "images" / f"{name}.nii.gz")

    def start(options: Options | None = None, settings: dict[str, object] = ONE_CLASS) -> OpenProject:
        folder = tmp_path / "project"
        if not folder.exists():
            rounds.new(folder, tmp_path / "images", COMPUTING, strategy="entropy", settings=settings)
        return OpenProject(folder, options or Options(device="cpu"))

    return start


def voxels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nib.load(path).dataobj)


def draw(project: OpenProject, case: str, path: Path, *, label: int = 1, extra: tuple[int, ...] = ()) -> Path:
    """Save the file of a volume as a client does, with a label on the slices that are asked for."""
    volume = project.asked()[case]
    image = nib.load(volume.to_draw_in)
    values = np.asarray(image.dataobj).astype(np.int16)
    for index in (*(one.index for one in volume.slices), *extra):
        values[8:20, 9:18, index] = label
    nib.save(nib.Nifti1Image(values, image.affine), path)
    return path


def test_what_is_asked_for_is_what_the_worklist_says(make):
    project = make()
    rows = [*csv.DictReader((project.folder / "worklists" / "00" / "worklist.csv").open())]
    asked = project.asked()
    assert sorted(
        (case, one.index, one.dimension, one.rank, one.offset)
        for case, volume in asked.items()
        for one in volume.slices
    ) == sorted(
        (
            row["volume"],
            int(row["index_3d_slicer"]),
            row["dimension"],
            int(row["rank"]),
            float(row["offset_3d_slicer_mm"]),
        )
        for row in rows
    )
    for volume in asked.values():
        drawn_here = {int(index) for index in np.flatnonzero((voxels(volume.handed_out) != UNKNOWN).any((0, 1)))}
        assert drawn_here == {one.index for one in volume.slices}


def test_the_volume_of_the_slice_most_wanted_comes_first_and_saved_ones_with_open_slices_last(make, tmp_path):
    project = make()
    first, second, third = sorted(project.asked(), key=lambda case: project.asked()[case].slices[0].rank)
    assert project.wanted() == first
    empty = tmp_path / "empty.nii.gz"
    empty.write_bytes(project.asked()[first].handed_out.read_bytes())
    project.save(first, empty)
    assert project.wanted() == second
    project.save(second, draw(project, second, tmp_path / "drawn.nii.gz"))
    assert project.asked()[second].drawn
    assert project.wanted() == third
    project.save(third, draw(project, third, tmp_path / "drawn.nii.gz"))
    assert project.wanted() == first
    project.save(first, draw(project, first, tmp_path / "drawn.nii.gz"))
    assert project.wanted() is None


def test_what_is_saved_trains_the_next_round_and_nothing_is_overwritten(make, tmp_path):
    project = make()
    handed_out = {case: volume.handed_out.read_bytes() for case, volume in project.asked().items()}
    with pytest.raises(AlbenchError, match=r"a round begins when its slices are drawn, 6 slices of 'anna', 'bert', 'c"):
        project.begin_round()
    for case in handed_out:
        project.save(case, draw(project, case, tmp_path / "drawn.nii.gz"))
        assert project.asked()[case].handed_out.read_bytes() == handed_out[case]
    before = [draw(project, "anna", tmp_path / "other.nii.gz", label=0), project.asked()["anna"].saved]
    kept = [path.read_bytes() for path in before]
    project.save("anna", before[0])
    uploads = {path.read_bytes() for path in (project.worklist.folder / ".uploads").iterdir()}
    assert uploads.issuperset(kept)
    project.save("anna", draw(project, "anna", tmp_path / "drawn.nii.gz"))
    assert not project.project.trained
    worklist = project.begin_round(strategy="random")
    assert (worklist.round, len(worklist.missing)) == (1, 3)
    assert project.project.stage.strategy == "random"
    (answer,) = project.project.answers
    assert {int((mask == 1).sum()) for mask in answer.values()} == {12 * 9}
    assert {name.case for name in worklist.missing} == set(project.asked())


def test_a_volume_is_segmented_with_the_network_of_the_last_round_alone(make, tmp_path):
    project = make()
    with pytest.raises(AlbenchError, match="a project must have a trained network to predict with"):
        project.segment("anna")
    for case in project.asked():
        project.save(case, draw(project, case, tmp_path / "drawn.nii.gz"))
    project.begin_round()
    whole = {one.case: voxels(one.segmentation) for one in rounds.segment(project.folder, tmp_path / "out", COMPUTING)}
    case = project.case_of(str(project.images["bert"]))
    path, certainty = project.segment(case)
    assert certainty.case == "bert"
    assert np.array_equal(voxels(path), whole["bert"])
    path.unlink()
    with pytest.raises(AlbenchError, match=r"a project segments its own volumes, '.*other.nii.gz' is none of those"):
        project.case_of(str(tmp_path / "other.nii.gz"))


def test_segments_that_a_client_has_numbered_anew_are_found_by_their_names(make, tmp_path):
    """3D Slicer numbers segments in their order: first unknown, which it has read, then the classes."""
    project = make(settings=TWO_CLASSES)
    case = project.wanted()
    volume = project.asked()[case]
    assert project.label_names(volume.handed_out) == {"unknown": UNKNOWN}
    drawn = draw(project, case, tmp_path / "drawn.nii.gz", label=2)
    expected = voxels(drawn)
    renumbered = np.select([expected == UNKNOWN, expected == 2], [1, 3]).astype(np.int16)
    nib.save(nib.Nifti1Image(renumbered, nib.load(drawn).affine), tmp_path / "slicer.nii.gz")
    looks = project.save(case, tmp_path / "slicer.nii.gz", {1: "unknown", 2: "head", 3: "tail"})
    saved = project.asked()[case].saved
    assert looks == ()
    assert np.array_equal(voxels(saved), expected)
    assert project.label_names(saved) == {"tail": 2, "unknown": UNKNOWN}
    with pytest.raises(
        AlbenchError,
        match=r"segments must be named after classes, which are head, tail, or unknown, '.*' has 'Segment_1'",
    ):
        project.save(case, tmp_path / "slicer.nii.gz", {1: "unknown", 2: "head", 3: "Segment_1"})


@pytest.mark.parametrize("extra_slices", [False, True])
def test_slices_that_nobody_asked_for_are_kept_on_request_only(make, tmp_path, extra_slices):
    """A client may have filled the whole volume with the prediction of a network."""
    project = make(Options(device="cpu", extra_slices=extra_slices))
    case = project.wanted()
    asked = {one.index for one in project.asked()[case].slices}
    (other, *_) = sorted({*range(6)} - asked)
    looks = project.save(case, draw(project, case, tmp_path / "drawn.nii.gz", extra=(other,)))
    found = set(np.flatnonzero((voxels(project.asked()[case].saved) == 1).any((0, 1))).tolist())
    assert found == (asked | {other} if extra_slices else asked)
    assert len(looks) == 1
    told = (
        "slices that nobody asked for count if they have foreground"
        if extra_slices
        else (
            f"slices count if they are asked for, 1 other slice of '{case}' with labels did not: start the server with "
            "--conf extra_slices true to keep those that you draw"
        )
    )
    assert looks[0].startswith(told)


def test_what_cannot_be_read_is_told_and_kept(make, tmp_path):
    project = make()
    case = project.wanted()
    wrong = draw(project, case, tmp_path / "wrong.nii.gz", label=7)
    with pytest.raises(AlbenchError, match="labels must be 0, 1 foreground or 255"):
        project.save(case, wrong)
    (tmp_path / "broken.nii.gz").write_bytes(b"no volume")
    with pytest.raises(AlbenchError, match=r"broken|uploads"):
        project.save(case, tmp_path / "broken.nii.gz")
    assert project.asked()[case].saved is None
    uploads = sorted((project.worklist.folder / ".uploads").iterdir())
    assert [path.read_bytes() for path in uploads] == [wrong.read_bytes(), b"no volume"]
    assert not rounds.status(project.folder, COMPUTING).faulty
    with pytest.raises(
        AlbenchError, match="an image must be a volume of the project, 'dora' is none of anna, bert, carl"
    ):
        project.save("dora", wrong)


def test_nothing_is_saved_into_a_worklist_that_a_round_has_read(make, tmp_path):
    project = make()
    case = project.wanted()
    drawn = draw(project, case, tmp_path / "drawn.nii.gz")
    with (
        locked(project.folder / ".lock", wait=False),
        pytest.raises(AlbenchError, match="must be saved between rounds"),
    ):
        project.save(case, drawn)
    assert project.asked()[case].saved is None


def test_a_saved_label_can_be_taken_back(make, tmp_path):
    project = make()
    case = project.wanted()
    with pytest.raises(AlbenchError, match=f"only a saved label can be removed, none of '{case}' is saved"):
        project.remove_saved(case)
    project.save(case, draw(project, case, tmp_path / "drawn.nii.gz"))
    content = project.asked()[case].saved.read_bytes()
    project.remove_saved(case)
    assert project.asked()[case].saved is None
    assert content in {path.read_bytes() for path in (project.worklist.folder / ".uploads").iterdir()}


def test_empty_slices_are_done_if_the_user_says_so(make, tmp_path):
    project = make(Options(device="cpu", empty_is_done=True))
    for case, volume in project.asked().items():
        empty = tmp_path / "empty.nii.gz"
        image = nib.load(volume.handed_out)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(np.int16), image.affine), empty)
        project.save(case, empty)
    assert project.wanted() is None


def test_options_are_those_of_the_server():
    read = Options.read({"annotator": "anna", "extra_slices": "True", "models": "all"})
    assert read == replace(Options(), annotator="anna", extra_slices=True)
    with pytest.raises(ConfigError, match=r"empty_is_done must be true or false, got 'yes': choose one of them"):
        Options.read({"empty_is_done": "yes"})
    with pytest.raises(ConfigError, match=r"annotator must be a name of letters, .*, got '../anna': rename it"):
        Options.read({"annotator": "../anna"})


MODULES = ("app", "client_errors", "datastore", "strategy", "infer", "train")  # that import MONAI Label


@pytest.fixture
def app(monkeypatch):
    """Start the app on a project."""
    for name, module in monai_label.stand_in().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, f"albench_monai_label.{name}", raising=False)
    cls = importlib.import_module("albench_monai_label.app").AlbenchApp
    yield lambda project: cls("", str(project.folder), {"device": "cpu"})
    for name in MODULES:
        sys.modules.pop(f"albench_monai_label.{name}")


def test_the_app_implements_the_interface_and_works_through_a_round(make, app, tmp_path):
    project = make()
    started = app(project)
    store, strategy = started.store, started.strategies["albench"]
    for name, parameters in monai_label.DATASTORE.items():
        assert [*inspect.signature(getattr(store, name)).parameters] == [*parameters]
    assert (started.name, started.labels, store.name()) == ("albench: images", ["foreground"], "images")
    assert not started.models["albench"].is_valid()
    assert store.status() == {"total": 3, "completed": 0, "label_tags": {"original": 3}}
    assert sorted(store.get_unlabeled_images()) == store.list_images() == ["anna", "bert", "carl"]
    with pytest.raises(monai_label.ToldError, match="a round begins when its slices are drawn"):
        started.trainers["albench"]({}, store)
    while sample := strategy({}, store):
        case = sample["id"]
        assert sample["slices"] == store.get_image_info(case)["slices"]
        assert store.get_label_uri(case, "original") == str(project.asked()[case].handed_out)
        drawn = draw(project, case, tmp_path / "drawn.nii.gz")
        assert store.save_label(case, str(drawn), "final", {"label_info": [{"name": "foreground", "idx": 1}]}) == case
        assert store.get_labels_by_image_id(case) == {"original": case, "final": case}
        assert store.get_label_uri(case, "original") == store.get_label_uri(case, "final")
    assert store.status() == {"total": 3, "completed": 3, "label_tags": {"original": 3, "final": 3}}
    listed = {Path(pair["label"]) for pair in store.datalist()}
    assert listed == {volume.saved for volume in project.asked().values()}
    objects = store.json()["objects"]
    assert objects["anna"]["labels"]["final"]["info"]["label_info"] == [{"name": "foreground", "idx": 1}]
    assert (objects["anna"]["image"]["ext"], objects["anna"]["image"]["info"]["name"]) == (".nii.gz", "anna.nii.gz")
    assert started.trainers["albench"]({"strategy": ["random"]}, store) == {"round": 1, "slices": 3, "finished": False}
    assert strategy.info()["strategy"] == "random"
    assert started.models["albench"].is_valid()
    path, told = started.models["albench"]({"image": store.get_image_uri("anna")})
    assert voxels(Path(path)).shape == (32, 30, 6)
    assert told["label_names"] in ({}, {"foreground": 1})
    Path(path).unlink()


def test_what_a_project_does_not_change_is_refused_in_a_sentence(make, app, tmp_path):
    project = make()
    store = app(project).store
    for refused in (
        lambda: store.add_image("dora", "dora.nii.gz", {}),
        lambda: store.remove_image("anna"),
        lambda: store.set_name("other"),
        lambda: store.remove_label("anna", "original"),
    ):
        with pytest.raises(monai_label.ToldError, match="so MONAI Label cannot change that: use albench annotate"):
            refused()
    with pytest.raises(
        monai_label.ToldError, match="a label must be saved with tag 'final', got 'original': choose it"
    ):
        store.save_label("anna", str(tmp_path / "anna.nii.gz"), "original", {})
    store.update_image_info("anna", {"strategy": {"albench": {"ts": 1}}})
    assert store.get_image_info("anna")["strategy"] == {"albench": {"ts": 1}}
    with pytest.raises(
        monai_label.ToldError, match="an archive holds volumes with saved labels, none is saved yet: draw one"
    ):
        store.get_dataset_archive(None)
