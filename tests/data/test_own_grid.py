"""Masks on the grids of their files, which a prepared set keeps beside scaled slices."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from support.samples import invoke

from albench.data import Dataset, ScalingLoss, Volume, cache_folder, prepare, scaling_warnings
from albench.data.own_grid import OwnGridFacts
from albench.data.preparation import prepare_case
from albench.data.prepared import content_key
from albench.data.preprocessing import fit_to
from albench.errors import StoreError
from albench.masks import UNKNOWN


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=500))  # a sentence is not wrapped


@dataclass(frozen=True, kw_only=True)
class Uneven(Dataset):
    """Cases `a` and `c` are scaled by data.size=[32,32], `b` is not; there are two classes and unknown labels."""

    @property
    def class_names(self):
        return ("liver", "tumor")

    def cases(self):
        return ["a", "b", "c"]

    def load(self, case):
        shape = {"a": (3, 41, 37), "b": (2, 32, 32), "c": (4, 50, 19)}[case]
        rng = np.random.default_rng(ord(case))
        mask = rng.choice(np.array([0, 1, 2, UNKNOWN], np.uint8), shape, p=[0.5, 0.3, 0.15, 0.05])
        return Volume(rng.normal(size=(1, *shape)).astype(np.float32), mask, (3.0, 1.0, 1.0 + 0.5 * (case == "a")))


@pytest.fixture
def folder():
    """That of the set scaled to 32 x 32."""
    prepare(Uneven(size=(32, 32)))
    (found,) = cache_folder().glob("uneven-*/")
    return found


def test_scaled_slices_keep_the_mask_of_the_file_bit_for_bit(folder):
    data = Uneven(size=(32, 32))
    labeled = prepare(data).labeled_stack(("c", "b", "a"), own_grid=True)
    for index, case in enumerate(("c", "b", "a")):
        own, volume = labeled.own_grid(index), data.load(case)
        if case == "b":
            assert own is None
            continue
        np.testing.assert_array_equal(own.mask, volume.mask)
        assert own.spacing == volume.spacing
    assert prepare(data).labeled_stack(("c",)).own_grid(0) is None
    assert (folder / "own_masks.npy").stat().st_size < 2 * sum(3 * data.load(case).mask.size / 8 for case in "ac")


@pytest.mark.parametrize("size", [None, (64, 48)])
def test_a_set_that_is_not_scaled_has_no_other_files_and_its_key_is_that_of_its_options(size):
    class Alike(Uneven):
        def load(self, case):
            rng = np.random.default_rng(0)
            return Volume(rng.normal(size=(1, 2, 64, 48)).astype(np.float32), np.ones((2, 64, 48), np.uint8), (1, 1, 1))

    data = Alike(size=size)
    prepared = prepare(data)
    (folder,) = cache_folder().glob("alike-*/")
    assert {path.name for path in folder.iterdir()} >= {"images.npy", "masks.npy", "meta.json"}
    assert not (folder / "own_masks.npy").exists()
    assert prepared.own_grids is None
    assert prepared.key == content_key(data) == folder.name.removeprefix("alike-")
    assert ("own_grids" in json.loads((folder / "meta.json").read_text())) == (size is not None)


def test_the_key_of_scaled_data_depends_on_the_way_of_scaling(folder, monkeypatch):
    key = prepare(Uneven(size=(32, 32))).key
    assert key != content_key(Uneven(size=(32, 32)))
    monkeypatch.setattr("albench.data.prepared.SCALING", 0)
    assert prepare(Uneven(size=(32, 32))).key != key


def _earlier(path):
    """As an earlier version has left it."""
    from albench.data.stored_set import write_meta

    meta = json.loads(path.read_text())
    del meta["own_grids"], meta["sha256"]
    write_meta(path.parent, meta)


def _flip(path):
    values = np.load(path, mmap_mode="r+")
    values[len(values) // 2] ^= 1
    values.flush()


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("meta.json", _earlier, "meta.json of an earlier version has no masks on the grids of the files"),
        ("own_masks.npy", Path.unlink, "No such file"),
        ("own_masks.npy", lambda path: np.save(path, np.load(path)[:-1]), "own_masks.npy has"),
        ("own_masks.npy", lambda path: os.truncate(path, 200), "mmap length is greater than file size"),
        ("own_masks.npy", _flip, "must hold what was prepared, case '"),
    ],
)
def test_a_set_without_these_masks_or_with_changed_ones_is_made_anew(folder, name, damage, reason):
    before = (folder / "own_masks.npy").read_bytes(), (folder / "masks.npy").read_bytes()
    damage(folder / name)
    code, told = invoke("data", "check", "--cache")
    assert code == 1
    assert reason in told
    calls = []
    prepare(Uneven(size=(32, 32)), lambda *call: calls.append(call))
    assert calls[-1][:2] == (3, 3)
    assert ((folder / "own_masks.npy").read_bytes(), (folder / "masks.npy").read_bytes()) == before
    assert invoke("data", "check", "--cache") == (0, "0 problems, 0 warnings")


def test_masks_that_change_while_a_set_is_open_are_one_sentence(folder):
    prepared = prepare(Uneven(size=(32, 32)))
    _flip(folder / "own_masks.npy")
    with pytest.raises(StoreError) as refused:
        prepared.labeled_stack(("a", "c"), own_grid=True)
    assert str(refused.value).endswith(
        "on the grid of its file must be the one that was prepared, it was changed: albench data check --cache names "
        "the prepared set, remove that"
    )
    prepared.labeled_stack(("a", "c"))


@pytest.mark.parametrize("change", [Path.unlink, lambda path: os.truncate(path, 3)])
def test_an_interrupted_preparation_whose_masks_were_cut_or_removed_begins_anew(change):
    def stop(done, total, case):
        if done == 2:
            raise KeyboardInterrupt

    data = Uneven(size=(32, 32))
    for changes in (False, True):
        with pytest.raises(KeyboardInterrupt):
            prepare(data, stop)
        (partial,) = cache_folder().glob("*.partial")
        if changes:
            change(partial / "cases" / "0.own")
        begun = []

        def stop_at_once(done, total, case, begun=begun):
            begun.append(done)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(data, stop_at_once)
        assert begun == [0 if changes else 2]
    assert prepare(data).own_grids is not None


def test_a_disk_that_does_not_return_these_masks_is_one_sentence_and_nothing_is_kept(monkeypatch):
    from albench.data import preparation

    def other(dataset, case, path):
        prepare_case(dataset, case, path)
        if case == "c":
            content = bytearray(path.with_suffix(".own").read_bytes())
            content[5] ^= 1
            path.with_suffix(".own").write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "prepare_case", other)
        with pytest.raises(StoreError) as refused:
            prepare(Uneven(size=(32, 32)))
    assert str(refused.value).endswith(
        ".partial' must return what was written, case 'c' is read back differently: check the disk, or choose another "
        "with ALBENCH_CACHE"
    )
    assert not list(cache_folder().glob("uneven-*"))


@pytest.mark.parametrize("values", [(0, 1), (0, 1, UNKNOWN), (0, 1, 2, 3), (UNKNOWN,), (0,)])
def test_masks_are_packed_without_loss(values):
    mask = np.random.default_rng(0).choice(np.array(values, np.uint8), (3, 7, 13))
    volume = Volume(np.zeros((1, *mask.shape), np.float32), mask, (1.0, 2.0, 3.0))
    facts, content = OwnGridFacts.of(volume, fit_to(volume, (16, 16)))
    assert facts.fits(content)
    assert not facts.fits(content[:-1])
    assert not replace(facts, sha256="0").fits(content)
    assert OwnGridFacts.read(json.loads(json.dumps(asdict(facts)))) == facts
    np.testing.assert_array_equal(facts.unpack(content).mask, mask)


def test_objects_are_counted_by_class_as_parts_that_touch_in_3d():
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = 1  # touch at a corner
    mask[0, 0, 1] = 2
    mask[2, 6:, 6:] = 1
    mask[2, 0] = UNKNOWN
    own = Volume(np.zeros((1, *mask.shape), np.float32), mask, (3.0, 1.0, 2.0))
    scaled = Volume(own.image, np.where(mask == 2, 0, mask), own.spacing)
    loss = ScalingLoss.of(own, scaled)
    assert loss == ScalingLoss((3, 2), (7 * 6.0, 6 * 6.0))
    assert loss.change == pytest.approx(-1 / 7)
    assert ScalingLoss.sum([loss, ScalingLoss((1, 2), (8.0, 10.0))]) == ScalingLoss((4, 4), (50.0, 46.0))
    assert ScalingLoss.sum([]).change == 0
    assert list(scaling_warnings((16, 16), [])) == list(scaling_warnings(None, [loss])) == []
