import errno
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.layouts import decathlon_task, packed, spleen
from support.loopback import serving
from support.samples import invoke, tiny_training_arguments

from albench.config import Protocol, Training, build
from albench.data import check_volume, downloads_folder, prepare
from albench.errors import DataError, StoreError
from albench.networks.residual import Residual
from albench.registry import DATASETS, find
from albench.settings import by_section

TASKS = {
    "brain-tumor": ("Task01_BrainTumour", "BRATS", {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}),
    "heart": ("Task02_Heart", "la", {"1": "left atrium"}),
    "liver": ("Task03_Liver", "liver", {"1": "liver", "2": "cancer"}),
    "hippocampus": ("Task04_Hippocampus", "hippocampus", {"1": "Anterior", "2": "Posterior"}),
    "prostate": ("Task05_Prostate", "prostate", {"1": "PZ", "2": "TZ"}),
    "lung": ("Task06_Lung", "lung", {"1": "cancer"}),
    "pancreas": ("Task07_Pancreas", "pancreas", {"1": "pancreas", "2": "cancer"}),
    "hepatic-vessel": ("Task08_HepaticVessel", "hepaticvessel", {"1": "Vessel", "2": "Tumour"}),
    "spleen": ("Task09_Spleen", "spleen", {"1": "spleen"}),
    "colon": ("Task10_Colon", "colon", {"1": "colon cancer primaries"}),
}
CHANNELS = {
    "brain-tumor": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "prostate": {"0": "T2", "1": "ADC"},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


def make(name, root=None, **options):
    return find(DATASETS, name)(root=None if root is None else str(root), **options)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_read_with_its_labels_and_channels(tmp_path, name):
    task, file, labels = TASKS[name]
    modality = CHANNELS.get(name)
    root = decathlon_task(tmp_path, task, name=file, labels=labels, modality=modality, count=3)
    data = make(name, tmp_path)
    assert list(data.cases()) == [f"{file}_{number}" for number in (2, 3, 4)]
    volume = data.load(f"{file}_3")
    check_volume(volume, name)
    raw = np.asarray(nib.load(root / "labelsTr" / f"{file}_3.nii.gz").dataobj)
    assert volume.mask.sum() == np.isin(raw, data.labels).sum() > 0
    assert volume.image.shape == (len(modality or "x"), 9, 32, 32)
    assert data.notes() == ["2 images of the official test set have no labels and are left out"]
    parts = by_section(data.defaults())
    for section, cls in (("protocol", Protocol), ("training", Training), ("network", Residual)):
        build(cls, parts[section], section)


def test_spleen_has_the_protocol_of_the_paper():
    spleen_set = make("spleen")
    settings = spleen_set.defaults()
    assert (settings["protocol.interval"], settings["protocol.budget"], settings["training.batch_size"]) == (10, 50, 16)
    assert (settings["protocol.split"], settings["network.backbone"]) == ([28, 6, 7], "resnet50")
    assert (spleen_set.size, spleen_set.window, spleen_set.axis) == ((512, 512), (-57.0, 164.0), "axial")


def test_channels_of_a_4d_image_are_read_in_order_and_can_be_chosen(tmp_path):
    task, file, labels = TASKS["brain-tumor"]
    root = decathlon_task(tmp_path, task, name=file, labels=labels, modality=CHANNELS["brain-tumor"], count=3)
    raw = np.asarray(nib.load(root / "imagesTr" / "BRATS_2.nii.gz").dataobj)
    volume = make("brain-tumor", root).load("BRATS_2")
    for channel in range(4):
        np.testing.assert_array_equal(volume.image[channel], raw[::-1, ::-1, :, channel].transpose(2, 1, 0))
    chosen = make("brain-tumor", root, channels=(3, 0)).load("BRATS_2")
    np.testing.assert_array_equal(chosen.image, volume.image[[3, 0]])
    with pytest.raises(DataError, match=r"must have the channels \[4\] of data.channels, it has 4: choose from 0 to 3"):
        make("brain-tumor", root, channels=(4,)).load("BRATS_2")


def test_one_label_against_the_rest(tmp_path):
    task, file, labels = TASKS["liver"]
    root = decathlon_task(tmp_path, task, name=file, labels=labels, count=3)
    raw = np.asarray(nib.load(root / "labelsTr" / "liver_2.nii.gz").dataobj)
    for label in (1, 2):
        assert make("liver", root, labels=(label,)).load("liver_2").mask.sum() == (raw == label).sum() > 0


def test_an_archive_is_unpacked_once_and_equals_its_folder(tmp_path):
    root = spleen(tmp_path / "a")
    archive = packed(spleen(tmp_path / "b"))
    (tmp_path / "c").mkdir()
    moved = archive.rename(tmp_path / "c" / archive.name)
    small = {"size": (32, 32)}
    first, second = prepare(make("spleen", root, **small)), prepare(make("spleen", moved, **small))
    assert first.key == second.key
    assert sorted(path.name for path in moved.parent.iterdir()) == ["Task09_Spleen", "Task09_Spleen.tar"]
    assert list(make("spleen", moved.parent).cases()) == list(first.cases)


def test_a_damaged_or_wrong_archive_is_one_sentence_and_leaves_no_files(tmp_path):
    archive = packed(spleen(tmp_path / "a"))
    place = tmp_path / "b" / archive.name
    place.parent.mkdir()
    place.write_bytes(archive.read_bytes()[:-30_000])
    with pytest.raises(DataError, match=r"must be a whole \.tar archive, it cannot be unpacked .*: download it again"):
        make("spleen", place).cases()
    with tarfile.open(place, "w") as tar:
        tar.add(archive, arcname="other.tar")
    with pytest.raises(DataError, match="must contain Task09_Spleen/imagesTr, it does not: download the"):
        make("spleen", place).cases()
    assert [path.name for path in place.parent.iterdir()] == [place.name]


_UNPACK = """
import sys, time
from pathlib import Path
from albench.datasets import _archive
extract = _archive._extract
def extract_and_hang(archive, target):
    extract(archive, target)
    print("unpacked", flush=True)
    time.sleep(60)
_archive._extract = extract_and_hang
_archive.unpacked(Path(sys.argv[1]), "Task09_Spleen")
"""


@pytest.mark.slow
def test_what_a_killed_process_has_unpacked_is_removed_by_the_next_one(tmp_path):
    archive = packed(spleen(tmp_path / "a"))
    place = archive.rename(tmp_path / archive.name)
    before = set(tmp_path.iterdir())
    process = subprocess.Popen([sys.executable, "-c", _UNPACK, str(place)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "unpacked\n"
        (partial,) = (path for path in tmp_path.iterdir() if path.is_dir() and path not in before)
        assert list(partial.rglob("imagesTr"))
    finally:
        process.kill()
        process.wait(timeout=30)
    assert partial.is_dir()
    assert list(make("spleen", place).cases())
    assert set(tmp_path.iterdir()) == before | {tmp_path / "Task09_Spleen"}


def test_an_archive_in_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    place = packed(spleen(tmp_path / "a"))
    place = place.rename(tmp_path / place.name)

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError) as refused:
        make("spleen", place).cases()
    assert str(refused.value) == (
        f"'{tmp_path}' must be writable and have room for the unpacked archive, the system says 'Read-only file system'"
        ": unpack it elsewhere and give that folder with --data-root"
    )


def test_an_archive_with_a_path_outside_its_folder_is_rejected(tmp_path):
    place = tmp_path / "Task09_Spleen.tar"
    (tmp_path / "evil").write_text("")
    with tarfile.open(place, "w") as tar:
        tar.add(tmp_path / "evil", arcname="../outside")
    with pytest.raises(DataError, match="cannot be unpacked"):
        make("spleen", place).cases()
    assert not (tmp_path.parent / "outside").exists()


def test_missing_data_are_one_sentence_with_the_archive_and_its_place():
    code, output = invoke("data", "prepare", "spleen")
    assert code == 2
    assert f"'{downloads_folder()}' must contain the folder Task09_Spleen or its archive Task09_Spleen.tar" in output
    assert "run `albench data prepare spleen --download`" in output


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A local server with the archive of the spleen, at the address that MONAI uses."""
    from monai.apps.datasets import DecathlonDataset

    content = packed(spleen(tmp_path / "published")).read_bytes()
    with serving(content) as server:
        monkeypatch.setitem(DecathlonDataset.resource, "Task09_Spleen", f"{server.url}/Task09_Spleen.tar")
        monkeypatch.setitem(DecathlonDataset.md5, "Task09_Spleen", hashlib.md5(content).hexdigest())
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield server


SMALL = ("--set", "data.size=[32,32]", "--workers", "1")


def test_the_spleen_is_downloaded_over_a_broken_connection_prepared_and_run(published, tmp_path):
    published.breaks = [200_000]
    code, output = invoke("data", "prepare", "spleen", "--download", *SMALL)
    assert code == 0, output
    assert "spleen: 6 cases, 54 slices of 32 x 32" in output
    assert "2 images of the official test set have no labels and are left out" in output
    assert published.ranges_requested == [None, "bytes=200000-"]
    assert invoke("data", "prepare", "spleen", "--download", *SMALL)[0] == 0
    assert len(published.ranges_requested) == 2
    out = tmp_path / "runs"
    more = tiny_training_arguments(data__size=[32, 32])
    code, output = invoke("run", "--strategy", "entropy", "--dataset", "spleen", "--out", out, *more)
    assert code == 0, output
    (config,) = out.glob("spleen/entropy/*/config.json")
    assert json.loads(config.read_text())["run"]["dataset"]["options"]["window"] == [-57.0, 164.0]


def test_a_download_with_a_wrong_checksum_is_rejected(published):
    published.content = published.content[:-1] + b"x"
    code, output = invoke("data", "prepare", "spleen", "--download", *SMALL)
    assert code == 2
    assert "must have the MD5 sum" in output
    assert not list(downloads_folder().glob("Task09*.tar"))


def test_intensities_outside_the_window_have_no_effect(tmp_path):
    root = spleen(tmp_path, count=3)
    data = make("spleen", root, size=(32, 32))
    raw = data.load("spleen_2").image[0]
    clipped = np.clip(raw, -57, 164)
    expected = (clipped - clipped.mean()) / clipped.std()
    prepared = prepare(data)
    np.testing.assert_allclose(prepared.images[:9, 0], expected, atol=2e-3)
    assert prepared.spacing[0].tolist() == pytest.approx([5.0, 0.8, 0.8])
    assert prepared.intensity[0, 0].tolist() == pytest.approx([raw.min(), raw.max()])
