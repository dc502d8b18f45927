import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console
from support.loopback import serving
from support.samples import invoke, tiny_training_arguments, write_pair

from albench.cli.data import _problems
from albench.data import (
    Archive,
    Dataset,
    Volume,
    cache_folder,
    downloads_folder,
    make_marked,
    prepare,
    prepared_sets,
)
from albench.data.download import fetch
from albench.datasets._archive import unpacked
from albench.errors import AlbenchError, DataError
from albench.files import locked
from albench.registry import DATASETS, find
from albench.resolve import resolve
from albench.settings import parse_settings

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
SHAPE = (20, 24, 8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=300))  # a sentence is not wrapped
    monkeypatch.chdir(tmp_path)


def faulty_folder(root):
    """Write a folder with 18 faults; returns the sentence about each, by file."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:9, 5:9, 2:5] = 1

    def image():
        return rng.normal(100, 10, SHAPE).astype(np.float32)

    names = (
        *("good", "no_mask", "truncated", "not_nifti", "empty_file", "other_shape", "flat", "four", "nan"),
        *("other_grid", "probabilities", "undeclared", "negative", "empty", "constant", "twin", "no_affine", "doubled"),
    )
    for name in names:
        write_pair(root, name, image(), mask)
    images, masks = ((lambda name, part=part: root / part / f"{name}.nii.gz") for part in ("imagesTr", "labelsTr"))

    def save(values, path, affine=AFFINE):
        nib.save(nib.Nifti1Image(values, affine), path)

    masks("no_mask").unlink()
    images("truncated").write_bytes(images("truncated").read_bytes()[:-3000])
    images("not_nifti").write_bytes(b"hello")
    images("empty_file").write_bytes(b"")
    save(mask[:9], masks("other_shape"))
    save(image()[..., 0], images("flat"))
    save(np.stack([image()] * 2, -1), images("four"))
    holes = image()
    holes[3, 3, 3] = np.nan
    save(holes, images("nan"))
    save(mask, masks("other_grid"), np.diag([1.0, 1.0, 2.0, 1.0]))
    save(mask * np.float32(0.4), masks("probabilities"))
    save(mask * 7, masks("undeclared"))
    save(-mask.astype(np.int16), masks("negative"))
    save(mask * 0, masks("empty"))
    save(np.full(SHAPE, 5, np.float32), images("constant"))
    images("twin").write_bytes(images("good").read_bytes())
    broken = nib.Nifti1Image(image(), None)
    broken.header.set_sform(np.zeros((4, 4)), code=1)
    broken.set_sform(np.diag([0.0, 0.0, 0.0, 1.0]), code=1)
    nib.save(broken, images("no_affine"))
    save(image(), root / "imagesTr" / "doubled.nii")
    (root / "imagesTr" / "other.mgz").write_bytes(b"FreeSurfer")
    save(mask, masks("orphan"))
    return {
        "no_mask.nii.gz": "every image must have a mask",
        "truncated.nii.gz": "must be complete, it cannot be read to its end",
        "not_nifti.nii.gz": "must be a readable NIfTI file, it is not",
        "empty_file.nii.gz": "must be a readable NIfTI file, it is not",
        "other_shape.nii.gz": "a mask must have the shape of its image",
        "flat.nii.gz": "has (20, 24, 8) and the image (20, 24, 1)",
        "four.nii.gz": "must be a 3D volume, it has shape (20, 24, 8, 2)",
        "nan.nii.gz": "must have finite intensities, 1 voxels are NaN",
        "other_grid.nii.gz": "a mask must lie on the grid of its image",
        "probabilities.nii.gz": "a mask must contain whole numbers",
        "undeclared.nii.gz": "a mask must contain labels that dataset.json declares",
        "negative.nii.gz": "a mask must contain labels of at least 0",
        "empty.nii.gz": "a mask should have foreground, '",
        "constant.nii.gz": "must have contrast, 5 is the intensity of all its voxels",
        "twin.nii.gz": "equals that of 'good': remove one",
        "no_affine.nii.gz": "must have a voxel size and directions in its header",
        "doubled.nii.gz": "a volume must be stored once",
        "other.mgz": "must be a volume (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .h5, .dcm or a folder",
        "orphan.nii.gz": "every mask must have an image",
    }


def test_every_fault_is_listed_with_its_file(tmp_path):
    root = tmp_path / "set"
    faults = faulty_folder(root)
    content = {"labels": {"0": "background", "1": "blob"}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))
    problems = list(find(DATASETS, "folder")(root=str(root)).problems())
    found = {problem.file.rpartition("/")[2]: problem for problem in problems}
    assert set(found) >= set(faults)
    for file, rule in faults.items():
        assert any(problem.file.endswith(f"/{file}") and rule in problem.sentence for problem in problems), file
    assert {file for file, problem in found.items() if not problem.serious} == {*("empty.nii.gz", "twin.nii.gz", "set")}
    assert not any("good" in problem.file for problem in problems)
    code, output = invoke("data", "check", root)
    assert code == 1
    assert all(file in output for file in faults)
    assert f"{len(problems) - 3} problems, 3 warnings" in output


def test_an_unreadable_listing_does_not_hide_other_faults(tmp_path):
    root = tmp_path / "set"
    faulty_folder(root)
    (root / "dataset.json").write_text("{")
    sentences = [problem.sentence for problem in find(DATASETS, "folder")(root=str(root)).problems()]
    assert any('must list cases under "training"' in sentence for sentence in sentences)
    assert len(sentences) >= 18


def test_all_faults_of_one_volume_are_listed(tmp_path):
    image = np.full(SHAPE, np.nan, np.float32)
    _, mask = write_pair(tmp_path / "set", "one", image, np.full(SHAPE, -1, np.int16))
    nib.save(nib.Nifti1Image(np.full(SHAPE, -1, np.int16), np.eye(4)), mask)
    sentences = " ".join(p.sentence for p in find(DATASETS, "folder")(root=str(tmp_path / "set")).problems())
    assert "labels of at least 0" in sentences
    assert "on the grid of its image" in sentences
    assert "finite intensities" in sentences


def test_a_good_folder_passes(decathlon):
    code, output = invoke("data", "check", decathlon)
    valid, drawn = sum((20 + i) * 24 * 8 for i in range(6)), 6 * 7 * 9 * 4
    assert code == 0
    assert output == (
        "images and masks are paired by equal names, such as 'imagesTr/blob_0.nii.gz' with 'labelsTr/blob_0.nii.gz'; "
        "albench data list-files prints all pairs "
        f"values of the masks: 0 (background, {valid - drawn:,} voxels in 6 masks) and 1 (foreground, {drawn:,} voxels "
        "in 6 masks) read 12 files of 6 cases 0 problems, 0 warnings"
    )


def test_check_tells_what_the_values_of_the_masks_mean(two_labels):
    describe = {"file_ending": ".nii.gz", "labels": {"background": 0, "liver": 1, "ignore": 2}}
    (two_labels / "dataset.json").write_text(json.dumps(describe))
    half = 3 * 7 * 9 * 4
    output = invoke("data", "check", two_labels)[1]
    assert f"1 (liver, foreground, {half} voxels in 3 masks) and 2 (ignore, unknown, {half} voxels in 3" in output
    output = invoke("data", "check", two_labels, "--set", "data.classes={liver: 1}")[1]
    assert f"1 (liver, {half} voxels in 3 masks) and 2 (ignore, unknown, {half} voxels in 3" in output
    (two_labels / "dataset.json").unlink()
    output = invoke("data", "check", two_labels, "--set", "data.labels=[1]")[1]
    assert f"and 2 (background, left out by the options, {half} voxels in 3 masks)" in output


def test_a_missing_folder_is_one_sentence(tmp_path):
    code, output = invoke("data", "check", tmp_path / "nowhere")
    assert code == 2
    assert "data.root must be an existing folder" in output


def test_info_prints_a_summary_and_draws_slices(decathlon, tmp_path):
    code, output = invoke("data", "info", "folder", "--data-root", decathlon, "--workers", 1)
    assert code == 0, output
    assert (
        "volumes images and masks paired by equal names, such as 'imagesTr/blob_0.nii.gz' with "
        "'labelsTr/blob_0.nii.gz' cases 6 voxels" in output
    )
    assert "cases 6 voxels 8 x 24 x 20 to 25 (median 22.5) (slices, rows, columns)" in output
    assert "spacing 3 x 1 x 1 mm (slices, rows, columns)" in output
    assert "orientation of the files RAS intensities as read" in output
    valid, drawn = sum((20 + i) * 24 * 8 for i in range(6)), 6 * 7 * 9 * 4
    assert "labels slices with foreground 50.0%, 4 per case" in output
    assert f"foreground {drawn / valid:.2%} of all pixels cases without foreground 0" in output
    assert "preparation slices axial, 48, 8 per case intensities clipped to the 0.5th and 99.5th perc" in output
    padding = 1 - valid / (48 * 32 * 32)
    assert f"scaled none, pixels are those of the files pixels 32 x 32, 1 channel, {padding:.0%} of them pad" in output
    assert f"foreground 1 {drawn:,} {drawn:,} {drawn / valid:.2%} 6 of 6" in output
    assert f"background 0 {valid - drawn:,} {valid - drawn:,} {1 - drawn / valid:.2%} 6 of 6" in output
    assert "warning" not in output
    lowest = min(float(nib.load(path).get_fdata().min()) for path in (decathlon / "imagesTr").iterdir())
    assert f"intensities as read {lowest:.6g} to " in output
    picture = tmp_path / "Task99_Blob.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    from matplotlib.image import imread

    pixels = imread(picture)
    red = (pixels[..., 0] > 0.8) & (pixels[..., 1] < 0.3)
    assert red.sum() > 500  # the contours


def test_the_picture_replaces_nothing_but_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code, output = invoke("data", "info", "phantom", "--set", "data.count=3", "--sheet", tmp_path / "pipe")
    assert code == 2
    assert f"in place of a regular file, '{tmp_path}/pipe' is a pipe: choose another path" in output
    assert (tmp_path / "pipe").is_fifo()


def test_the_picture_fits_its_cases_and_shows_the_middle_slice_of_a_case_without_foreground(tmp_path):
    from matplotlib.image import imread

    names = ("first", "second")
    for name in names:
        image = np.random.default_rng(0).normal(0, 1, (40, 40, 9)).astype(np.float32)
        image[:20, :, 4] += 100  # the middle slice alone is half bright
        mask = np.zeros(image.shape, np.uint8)
        mask[8:12, 8:12, 4] = name == "first"
        write_pair(tmp_path / "set", name, image, mask, np.eye(4))
    assert invoke("data", "info", "folder", "--data-root", "set", "--set", "data.window=[-5,200]")[0] == 0
    pixels = imread(tmp_path / "set.png")[..., :3]
    height, width, _ = pixels.shape
    assert 5 < width / height < 7  # both in one row
    axial = pixels[:, width // 2 : width * 5 // 8]  # of the second case
    bright = (axial.min(-1) > 0.9).mean(1)
    assert 0.4 < bright.max() < 0.6


def test_list_shows_datasets_and_prepared_sets_and_clean_removes_them(decathlon):
    assert invoke("data", "prepare", "folder", "--data-root", decathlon, "--workers", 1)[0] == 0
    prepare(find(DATASETS, "phantom")(count=3, depth=8, side=32))
    code, output = invoke("data", "list")
    assert code == 0
    for row in ("spleen Decathlon, ", "brats Gliomas ", "folder Your own ", "hepatic-vessel Decathlon, "):
        assert f" {row}" in output
    assert " Task99_Blob 6 48 " in output
    code, output = invoke("data", "clean", "phantom")
    assert code == 0
    assert "freed 0." in output
    assert [found.title for found in prepared_sets()] == ["Task99_Blob"]
    code, output = invoke("data", "clean", "spleen")
    assert code == 2
    assert "only prepared data can be deleted, 'spleen' is not prepared: choose from Task99_Blob" in output
    assert "freed" in invoke("data", "clean")[1]
    assert {path.name for path in cache_folder().iterdir()} <= {"digests"}


def test_list_tells_prepared_sets_of_one_title_apart_and_clean_removes_one():
    for depth in (8, 9):
        prepare(find(DATASETS, "phantom")(count=3, depth=depth, side=32))
    found = [prepared for prepared in prepared_sets() if prepared.options.get("side") == 32]
    keys = {prepared.options["depth"]: prepared.key for prepared in found if prepared.options["depth"] in (8, 9)}
    output = invoke("data", "list")[1]
    for depth, key in keys.items():
        assert re.search(rf" phantom 3 \d+ [\d.]+ MB {key} [^ ]*(data\.\w+=\S+ )*data\.depth={depth}\b", output)
    assert invoke("data", "clean", keys[8])[0] == 0
    assert keys[8] not in invoke("data", "list")[1]
    assert keys[9] in invoke("data", "list")[1]


def test_check_says_what_it_does_when_it_takes_long(decathlon, monkeypatch):
    def slow(*arguments):
        time.sleep(0.2)
        return _problems(*arguments)

    monkeypatch.setattr("albench.cli.data._problems", slow)
    words = f"reading all files of {decathlon} "
    assert words not in invoke("data", "check", decathlon)[1]
    monkeypatch.setattr("albench.console.LONG_WAIT", 0.02)
    assert invoke("data", "check", decathlon)[1].startswith(words)


KEPT = (
    "only what bears the mark of albench is deleted, {} has none or was changed since and is kept: delete it by hand "
    "if an earlier version made it or you need it no more freed 0.0 MB"
)


@pytest.fixture
def spleen(monkeypatch, tmp_path):
    """Download and unpack a small archive in the place of that of the Decathlon; returns its name."""
    members = tmp_path / "made" / "Task09_Spleen"
    write_pair(members, "one", np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8))
    with tarfile.open(tmp_path / "made" / "Task09_Spleen.tar", "w") as tar:
        tar.add(members, "Task09_Spleen")
    content = (tmp_path / "made" / "Task09_Spleen.tar").read_bytes()
    with serving(content) as server:
        path = downloads_folder() / "Task09_Spleen.tar"
        fetch(Archive(f"{server.url}/x", hashlib.md5(content).hexdigest(), path), lambda done, total: None)
    unpacked(path, "Task09_Spleen")
    return path


def test_clean_removes_downloads_that_albench_made_and_nothing_else(spleen):
    other = downloads_folder() / "Task04_Hippocampus.tar"
    other.write_bytes(b"by hand")
    (downloads_folder() / "mine").mkdir()
    (downloads_folder() / "mine" / "notes.txt").write_text("x")
    code, output = invoke("data", "clean")
    assert (code, output) == (0, "freed 0.0 MB")
    assert {path.name for path in downloads_folder().iterdir()} >= {"Task09_Spleen", "Task09_Spleen.tar", "mine"}
    code, output = invoke("data", "clean", "--downloads")
    assert code == 0
    assert KEPT.format(f"'{other}', '{downloads_folder() / 'mine'}'").rpartition(" freed")[0] in output
    assert sorted(path.name for path in downloads_folder().iterdir()) == ["Task04_Hippocampus.tar", "mine"]
    assert (downloads_folder() / "mine" / "notes.txt").exists()


def _replaced(archive):
    time = archive.stat().st_mtime_ns
    archive.write_bytes(b"mine")
    os.utime(archive, ns=(time, time))
    return archive


def _changed_mask(archive):
    (archive.with_suffix("") / "labelsTr" / "one.nii.gz").write_bytes(b"corrected")
    return archive.with_suffix("")


def _added(archive):
    (archive.with_suffix("") / "notes").mkdir()
    (archive.with_suffix("") / "notes" / "mine.txt").write_text("x")
    return archive.with_suffix("")


@pytest.mark.parametrize("change", [_replaced, _changed_mask, _added])
def test_clean_keeps_a_download_that_was_changed_since(spleen, change):
    kept = change(spleen)
    assert KEPT.format(f"'{kept}'").rpartition(" freed")[0] in invoke("data", "clean", "--downloads")[1]
    assert [path for path in downloads_folder().iterdir() if not path.name.endswith(".albench.json")] == [kept]


def test_clean_keeps_folders_that_only_have_the_name_of_a_prepared_set(tmp_path):
    mine = cache_folder() / "results-0123456789abcdef"
    mine.mkdir(parents=True)
    (mine / "curves.csv").write_text("x")
    assert "results" not in invoke("data", "list")[1].partition("cache: ")[0]
    assert invoke("data", "clean") == (0, KEPT.format(f"'{mine}'"))
    assert (mine / "curves.csv").exists()


def test_clean_keeps_a_copy_under_another_name_and_what_a_symbolic_link_leads_to(tmp_path):
    prepare(find(DATASETS, "phantom")(count=3, depth=8, side=32))
    (found,) = prepared_sets()
    copy = shutil.copytree(found.folder, cache_folder() / "copy-0123456789abcdef")
    moved = found.folder.rename(tmp_path / found.folder.name)
    found.folder.symlink_to(moved)
    (downloads_folder()).symlink_to(tmp_path)
    code, output = invoke("data", "clean", "--downloads")
    assert (code, output) == (0, KEPT.format(f"'{copy}', '{found.folder}', '{downloads_folder()}'"))
    assert all((folder / "meta.json").exists() for folder in (copy, moved, found.folder))


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_name_of_the_cache_is_refused(monkeypatch, tmp_path, value):
    monkeypatch.setenv("ALBENCH_CACHE", value)
    (tmp_path / "mine-0123456789abcdef").mkdir()
    for command in (("clean", "--downloads"), ("list",), ("prepare", "phantom"), ("prepare", "spleen")):
        code, output = invoke("data", *command)
        assert code == 2
        assert "ALBENCH_CACHE must name a folder, it is empty: set it to one, or unset it" in output
    assert (tmp_path / "mine-0123456789abcdef").exists()


def test_a_set_in_preparation_is_not_deleted():
    prepare(find(DATASETS, "phantom")(count=3, depth=8, side=32))
    (found,) = prepared_sets()
    with locked(found.folder.with_name(f"{found.folder.name}.lock"), wait=True):
        assert f"'{found.folder}' is being made by another process and is kept" in invoke("data", "clean")[1]
    assert found.folder.exists()


def test_clean_removes_the_lock_of_a_killed_preparation():
    partial = cache_folder() / "phantom-0123456789abcdef.partial"
    make_marked(partial)
    partial.with_suffix(".lock").touch()
    assert "phantom interrupted " in invoke("data", "list")[1]
    assert invoke("data", "clean")[0] == 0
    assert list(cache_folder().iterdir()) == []


def test_unlisted_files_are_reported_after_preparation(decathlon):
    entries = [{"image": f"imagesTr/blob_{i}.nii.gz", "label": f"labelsTr/blob_{i}.nii.gz"} for i in range(4)]
    (decathlon / "dataset.json").write_text(json.dumps({"training": entries}))
    code, output = invoke("data", "prepare", "folder", "--data-root", decathlon)
    assert code == 0, output
    assert "Task99_Blob: 4 cases" in output
    assert "2 files are left out: albench data check names them" in output


def test_a_dataset_without_an_archive_cannot_be_downloaded():
    code, output = invoke("data", "prepare", "phantom", "--download")
    assert code == 2
    assert "a dataset must have a public archive to be downloaded, 'phantom' has none: leave --download out" in output


def pair(root, name, *, channels=1, foreground=True, intensities=None):
    """Write a volume of 24 x 24 x 6 voxels with its mask, as `folder` reads it."""
    rng = np.random.default_rng(ord(name))
    mask = np.zeros((24, 24, 6), np.uint8)
    mask[8:12, 8:12, 2:4] = foreground
    image = rng.normal(size=(24, 24, 6, channels)).astype(np.float32) if intensities is None else intensities
    write_pair(root, name, image[..., 0] if image.ndim == 4 and channels == 1 else image, mask)


def rejected_by_check_and_run(root, *settings):
    """The error of a run that rejects a dataset; `data check` gives the same sentence."""
    assignments = [part for setting in settings for part in ("--set", setting)]
    code, output = invoke("data", "check", root, *assignments)
    assert code == 1, output
    with pytest.raises(AlbenchError) as rejected:
        resolve("random", "folder", settings=parse_settings(settings, root))
    assert str(rejected.value) in output
    return str(rejected.value)


def test_check_rejects_a_dataset_without_any_foreground_as_a_run_does(tmp_path):
    for name in ("a", "b", "c", "d"):
        pair(tmp_path / "set", name, foreground=False)
    assert rejected_by_check_and_run(tmp_path / "set") == (
        "dataset 'set' must have foreground in at least one mask, all 4 masks are empty: check the masks and the "
        "labels that are foreground"
    )
    assert "1 problem, 4 warnings" in invoke("data", "check", tmp_path / "set")[1]


def test_check_rejects_labels_that_no_mask_contains_as_a_run_does(two_labels):
    assert "all 6 masks are empty" in rejected_by_check_and_run(two_labels, "data.labels=[7]")
    assert invoke("data", "check", two_labels, "--set", "data.labels=[2]")[0] == 0


def balls(root, radius):
    """Four volumes of 64 x 64 x 20 voxels with one ball each."""
    z, y, x = np.ogrid[:64, :64, :20]
    for index in range(4):
        distance = (z - 30.0) ** 2 + (y - 20.0 - index) ** 2 + (x - 9.0) ** 2
        image = np.random.default_rng(index).normal(100, 10, distance.shape).astype(np.float32)
        write_pair(root, f"c{index}", image, (distance <= radius**2).astype(np.uint8), np.eye(4))


@pytest.mark.parametrize(
    ("size", "kept", "change"),
    [("[32,32]", 4, "+5.3%"), ("[16,16]", 4, "-15.8%")],
)
def test_small_objects_survive_scaling_and_what_they_lose_is_told(tmp_path, monkeypatch, size, kept, change):
    monkeypatch.chdir(tmp_path)
    balls(tmp_path / "set", 1.5)
    sentence = (
        f"masks should keep their objects and volume when slices are scaled, of 4 objects data.size={size} leaves "
        f"{kept} and changes their volume by {change}: choose a larger size if they matter to training, scores are "
        "those of the files with protocol.grid=native"
    )
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=500))
    code, told = invoke("data", "check", tmp_path / "set", "--set", f"data.size={size}")
    assert code == 0
    assert sentence in told
    code, told = invoke("data", "info", "folder", "--data-root", tmp_path / "set", "--set", f"data.size={size}")
    assert code == 0
    assert f"warning: {sentence}" in told
    assert f"masks 4 objects become {kept}, and their volume changes by {change}" in told
    run = tiny_training_arguments(data__size=size, protocol__rounds=0, protocol__split="[2,1,1]")
    code, told = invoke("run", "--strategy", "random", "--dataset", "folder", "--data-root", tmp_path / "set", *run)
    assert code == 0, told


def test_nothing_is_told_of_large_objects_or_of_slices_that_are_not_scaled(tmp_path):
    balls(tmp_path / "set", 9)
    for size in ("[48,48]", "[64,64]", "none"):
        code, told = invoke("data", "check", tmp_path / "set", "--set", f"data.size={size}")
        assert code == 0
        assert told.endswith("0 problems, 0 warnings")


def test_check_rejects_different_numbers_of_channels_as_a_run_does(tmp_path):
    for name in "abcd":
        pair(tmp_path / "set", name, channels=2)
    rows = [f"imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz" for name in "ab"]
    rows += [f"imagesTr/{name}.nii.gz;imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz" for name in "cd"]
    (tmp_path / "set" / "list.csv").write_text("\n".join(["image,mask", *rows]))
    assert rejected_by_check_and_run(tmp_path / "set" / "list.csv", "data.channels=[1]") == (
        "all cases must have the same number of channels, 'a' has 1 and 'c' 2: choose channels that all of them have"
    )


def test_check_rejects_a_volume_without_contrast_after_clipping_as_a_run_does(tmp_path):
    for name in ("a", "b", "c"):
        pair(tmp_path / "set", name)
    dots = np.zeros((24, 24, 6), np.float32)
    dots[0, 0, 0] = 1
    pair(tmp_path / "set", "d", intensities=dots)
    error = rejected_by_check_and_run(tmp_path / "set")
    assert error.startswith("case 'd' must have contrast between its 0.5th and 99.5th percentiles, they are equal: set")


def test_check_rejects_too_few_patients_for_the_split_as_a_run_does(tmp_path):
    for name in "abc":
        pair(tmp_path / "set", name)
    sentence = "protocol.split must give each of train, validation and test at least one of the {} patients, "
    assert rejected_by_check_and_run(tmp_path / "set").startswith(sentence.format(3))
    assert invoke("data", "check", tmp_path / "set", "--set", "protocol.split=[1,1,1]")[0] == 0
    pair(tmp_path / "set", "d")
    assert invoke("data", "check", tmp_path / "set")[0] == 0
    assert rejected_by_check_and_run(tmp_path / "set", "protocol.split=[5,1,1]").startswith(sentence.format(4))


@pytest.mark.parametrize("setting", ["data.size=[30,30]", "data.window=[5,1]"])
def test_check_rejects_an_option_that_no_data_can_satisfy(decathlon, setting):
    code, output = invoke("data", "check", decathlon, "--set", setting)
    assert code == 2
    assert f"{setting.partition('=')[0]} must be two" in output


def test_check_rejects_an_empty_list_as_a_run_does(decathlon):
    (decathlon / "list.csv").write_text("image,mask,patient\n")
    code, output = invoke("data", "check", decathlon / "list.csv")
    assert code == 2
    assert "it lists none: correct it" in output


def test_the_check_of_generated_data_finds_problems_of_all_cases_together():
    @dataclass(frozen=True, kw_only=True)
    class Drawn(Dataset):
        name = "drawn"
        channels: tuple[int, ...] = (1, 1)
        foreground: int = 1

        def cases(self):
            return [f"case{index}" for index in range(len(self.channels))]

        def load(self, case):
            channels = self.channels[int(case[4:])]
            image = np.random.default_rng(0).normal(size=(channels, 2, 16, 16)).astype(np.float32)
            return Volume(image, np.full((2, 16, 16), self.foreground, np.uint8), (1.0, 1.0, 1.0))

    assert list(Drawn().problems()) == []
    for data, sentence in (
        (Drawn(channels=()), "dataset 'drawn' must have cases, it has none"),
        (Drawn(foreground=0), "dataset 'drawn' must have foreground in at least one mask, all 2 masks are empty"),
        (Drawn(channels=(1, 2, 2)), "all cases must have the same number of channels, 'case0' has 1 and 'case1' 2"),
    ):
        (problem,) = data.problems()
        assert problem.serious
        assert problem.sentence.startswith(sentence)
        with pytest.raises(DataError) as rejected:
            prepare(data)
        assert str(rejected.value) == problem.sentence


def sparse_folder(root, between=0, count=4):
    """Volumes in which every third slice is drawn, with a class each above and below; the others have one value."""
    for index in range(count):
        mask = np.full((20, 24, 12), between, np.uint8)
        mask[..., ::3] = 0
        mask[5:9, 5:9, :12:3], mask[9:13, 5:9, :12:3] = 1, 2
        image = np.random.default_rng(index).normal(size=mask.shape).astype(np.float32)
        write_pair(root, f"c{index}", image, mask)


def test_check_asks_whether_slices_between_those_with_foreground_are_drawn(tmp_path):
    sparse_folder(tmp_path / "set")
    both = ("--set", "data.labels=[1,2]")
    code, output = invoke("data", "check", tmp_path / "set", *both)
    assert code == 0
    assert "in 4 of 4 cases foreground stands in one of 3 slices only and the others count as background" in output
    assert "0 problems, 1 warning" in output
    assert (
        "stands in one of 3 slices only" in invoke("data", "info", "folder", "--data-root", tmp_path / "set", *both)[1]
    )
    sparse_folder(tmp_path / "set", between=9)
    output = invoke("data", "check", tmp_path / "set", *both, "--set", "data.unknown=9")[1]
    assert "stands in one of" not in output


def test_check_and_info_say_how_much_is_unknown(tmp_path):
    sparse_folder(tmp_path / "set", between=9)
    (tmp_path / "set" / "labelsTr" / "c3.nii.gz").unlink()
    more = ("--set", "data.unknown=9", "--set", "data.unlabeled=pool", "--set", "data.classes={top: 1, low: 2}")
    code, output = invoke("data", "check", tmp_path / "set", *more, "--set", "protocol.split=[1,1,1]")
    assert code == 0, output
    share = (3 * 8 + 12) / 48
    assert f"{share:.2%} of its voxels are not, with 36 of 48 slices and 1 of 4 cases without any label" in output
    code, output = invoke("data", "info", "folder", "--data-root", tmp_path / "set", *more)
    assert code == 0, output
    assert f"unknown {share:.2%} of all pixels" in output
    assert "without any label 36 slices, 1 whole cases" in output
    assert f"foreground {3 * 4 * 32 / (48 * 480):.2%} of all pixels" in output
    assert f"low 2 {3 * 4 * 16} {3 * 4 * 16} {3 * 4 * 16 / (48 * 480):.2%} 3 of 3" in output
    assert f"unknown 9 {3 * 8 * 480:,} {36 * 480:,} {share:.2%} 3 of 3" in output
    assert "warning: all labels of dataset 'set' should be known" in output
    assert "1 images have no mask and are only in the training set, without labels" in output


def test_a_class_that_no_mask_contains_is_a_warning_of_check_and_no_error(two_labels):
    settings = ("--set", "data.classes={first: 1, second: 2, third: 3}")
    code, output = invoke("data", "check", two_labels, *settings)
    assert code == 0
    assert "class 'third' should occur in dataset 'Task99_Blob', no mask contains it: check its values" in output
    assert "0 problems, 1 warning" in output
    assert invoke("data", "prepare", "folder", "--data-root", two_labels, *settings)[0] == 0


def test_check_names_cases_without_masks_that_the_split_leaves_out(tmp_path):
    for name in "abcd":
        pair(tmp_path / "set", name)
    rows = [f"imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz,{name}" for name in "abc"]
    left_out = 0
    for patient in "abc":
        (tmp_path / "set" / "list.csv").write_text(
            "\n".join(["image,mask,patient", *rows, f"imagesTr/d.nii.gz,,{patient}"])
        )
        more = ("--set", "data.unlabeled=pool", "--set", "protocol.split=[1,1,1]")
        code, output = invoke("data", "check", tmp_path / "set" / "list.csv", *more)
        assert code == 0, output
        left_out += f"1 such as '{patient}-d' have not and are left out: give them masks" in output
    assert left_out == 2  # of the patients of validation and test


def test_the_picture_has_a_color_per_class_and_hatches_what_is_unknown(tmp_path):
    from matplotlib.image import imread

    def pixels(*settings):
        more = [part for setting in settings for part in ("--set", setting)]
        assert invoke("data", "info", "folder", "--data-root", tmp_path / "set", "--sheet", "sheet.png", *more)[0] == 0
        return imread(tmp_path / "sheet.png")[..., :3]

    mask = np.zeros((40, 40, 4), np.uint8)
    mask[5:15, 5:15], mask[20:30, 20:30] = 1, 2
    write_pair(tmp_path / "set", "a", np.random.default_rng(0).normal(size=mask.shape).astype(np.float32), mask)
    one, two = pixels("data.labels=[1,2]"), pixels("data.target=foreground", "data.classes={a: 1, b: 2}")
    part = pixels("data.unknown=2")
    red, blue = ((lambda p, c=c: (np.abs(p - c).max(-1) < 0.2).sum()) for c in ((1, 0, 0), (0, 0.75, 1)))
    assert red(one) > 1.2 * red(two) > 120
    assert red(part) > 100
    assert (blue(one), blue(part)) == (0, 0)
    assert blue(two) > 100
    axial = [p[p.shape[0] // 6 : p.shape[0] // 2, : p.shape[1] // 4] for p in (one, part)]
    bluish = [(p[..., 2] - p[..., 0] > 0.02).sum() for p in axial]  # as only the ground and hatches are
    assert bluish[0] + 100 < bluish[1]
