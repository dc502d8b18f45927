import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albench.data import Dataset, Volume, cache_folder, prepare
from albench.data.prepared import content_key
from albench.data.preprocessing import fit_to
from albench.data.split import split_patients
from albench.errors import ConfigError, DataError, StoreError
from albench.registry import DATASETS, find
from albench.resolve import make_dataset


@dataclass(frozen=True, kw_only=True)
class Boxes(Dataset):
    """Volumes of different sizes, for tests of the cache; `broken` names a fault of one of them."""

    broken: str = ""

    def cases(self):
        return ["a", "b", "c"]

    def load(self, case):
        size = {"a": (3, 20, 30), "b": (4, 33, 17), "c": (2, 16, 16)}[case]
        rng = np.random.default_rng(ord(case))
        image = rng.normal(100, 20, (1, *size)).astype(np.float32)
        mask = np.zeros(size, np.uint8)
        mask[1, 4:9, 5:12] = 1
        if case == "b" and self.broken == "nan":
            image[0, 0, 0, 0] = np.nan
        if case == "b" and self.broken == "shape":
            mask = mask[:2]
        if case == "b" and self.broken == "2d":
            mask = mask[0]
        if case == "b" and self.broken == "labels":
            mask = mask * 2
        if self.broken == "empty":
            mask = mask * 0
        if case == "b" and self.broken == "constant":
            image = image * 0 + 7
        if case == "b" and self.broken == "dots":
            image = (np.arange(image.size).reshape(image.shape) == 1000).astype(np.float32)
        return Volume(image, mask, (3.0, 1.0, 1.0))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


def test_slices_of_different_size_are_padded_to_a_multiple_of_16_with_a_known_valid_area():
    prepared = prepare(Boxes())
    stack = prepared.stack(("a", "b", "c"))
    assert prepared.images.shape == (9, 1, 48, 32)
    assert isinstance(prepared.images, np.memmap)
    assert stack.valid.tolist() == [[20, 30]] * 3 + [[33, 17]] * 4 + [[16, 16]] * 2
    for index, case in enumerate("abc"):
        volume = Boxes().load(case)
        ids = stack.of(index)
        _, depth, height, width = volume.image.shape
        np.testing.assert_array_equal(prepared.masks[ids][:, :height, :width], volume.mask)
        assert prepared.masks[ids].sum() == volume.mask.sum()
        inside = prepared.images[ids][:, 0, :height, :width].astype(np.float32)
        assert inside.mean() == pytest.approx(0, abs=1e-3)
        assert inside.std() == pytest.approx(1, abs=1e-3)
        assert len(ids) == depth
        outside = np.ones((48, 32), bool)
        outside[:height, :width] = False
        np.testing.assert_allclose(prepared.images[ids][:, 0, outside], inside.min(), rtol=1e-3)


def test_read_returns_a_copy_of_the_images_of_the_given_slices():
    prepared = prepare(Boxes())
    stack = prepared.stack(("c", "b"))
    images = stack.read(np.array([3, 0]))
    np.testing.assert_array_equal(images, np.stack([prepared.images[4], prepared.images[7]]))
    assert (images.shape, images.dtype, images.flags.writeable) == ((2, 1, 48, 32), np.float16, True)
    assert not np.shares_memory(images, prepared.images)
    assert stack.read(np.array([], dtype=np.int64)).shape == (0, 1, 48, 32)


def test_a_stack_of_some_cases_finds_their_slices():
    prepared = prepare(Boxes())
    stack = prepared.labeled_stack(("c", "a"))
    assert stack.slices.position.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(stack.masks(np.array([3]))[0, :20, :30], Boxes().load("a").mask[1])


def test_intensities_are_clipped_to_the_window():
    volume = Boxes().load("a").image[0]
    clipped = np.clip(volume, 90, 110)
    expected = (clipped - clipped.mean()) / clipped.std()
    prepared = prepare(Boxes(window=(90, 110)))
    np.testing.assert_allclose(prepared.images[:3, 0, :20, :30], expected, atol=2e-3)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("nan", "case 'b' must have finite intensities, 1 voxels are NaN or infinite: repair"),
        ("shape", r"case 'b' must have a mask of its image's shape, got \(2, 33, 17\) for \(4, 33, 17\): resample"),
        ("2d", "case 'b' must be a 3D image .* with a 3D mask"),
        ("labels", "case 'b' must have a mask of 0, 1 for its class and 255 .*, got 2: make"),
        ("constant", "case 'b' must have contrast, 7 is the intensity of all its voxels: repair or leave out the"),
        ("dots", r"case 'b' must have contrast between its 0.5th and 99.5th percentiles, .*: set data.window"),
        ("empty", "must have foreground in at least one mask, all 3 masks are empty: check the masks and "),
    ],
)
def test_an_unusable_volume_is_rejected_and_no_prepared_set_remains(broken, sentence):
    with pytest.raises(DataError, match=sentence):
        prepare(Boxes(broken=broken))
    assert not list(cache_folder().glob("*/meta.json"))


def test_a_window_without_intensities_is_rejected():
    for window in ((-1000.0, -500.0), (5000.0, 6000.0)):
        sentence = rf"case 'a' must have intensities within data.window \[{window[0]}, {window[1]}\], it has \d+.* to"
        with pytest.raises(DataError, match=sentence):
            prepare(Boxes(window=window))


@pytest.mark.parametrize("window", [(164.0, -57.0), (5.0, 5.0), (float("nan"), 1.0)])
def test_a_reversed_window_is_rejected(window):
    with pytest.raises(ConfigError, match=r"data.window must be two numbers, the lower first, got \[.*\]: write for"):
        prepare(Boxes(window=window))


def test_the_key_depends_on_options_and_content_but_not_on_the_path(tmp_path, decathlon):
    folder = find(DATASETS, "folder")
    key = content_key(folder(root=str(decathlon)))
    moved = decathlon.rename(tmp_path / "elsewhere")
    assert content_key(folder(root=str(moved))) == key
    assert content_key(folder(root=str(moved), labels=(1,))) != key
    image = moved / "imagesTr" / "blob_0.nii.gz"
    image.write_bytes((moved / "imagesTr" / "blob_1.nii.gz").read_bytes())
    assert content_key(folder(root=str(moved))) != key


def test_a_prepared_set_is_not_prepared_again():
    calls = []
    prepare(Boxes(), lambda *call: calls.append(call))
    assert calls[-1][:2] == (3, 3)
    prepare(Boxes(), lambda *call: calls.append("again"))
    assert "again" not in calls


_PREPARE = """
from albench.data import prepare
from albench.registry import DATASETS, find
from albench.resolve import make_dataset
print(prepare(find(DATASETS, "phantom")(count=4, depth=8, side=32, seed=5)).masks.sum())
"""


@pytest.mark.slow
def test_two_processes_may_prepare_the_same_set_at_once():
    both = [subprocess.Popen([sys.executable, "-c", _PREPARE], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in both)
    assert int(first) == int(second) > 0
    assert len(list(cache_folder().glob("phantom-*/meta.json"))) == 1
    assert not list(cache_folder().glob("*.partial"))


_FULL_DISK = """
import resource, sys
from albench.data import prepare
from albench.errors import StoreError
from albench.registry import DATASETS, find
from albench.resolve import make_dataset
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    prepare(find(DATASETS, "phantom")(count=4, depth=8, side=32, seed=6))
except StoreError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_during_preparation_is_one_sentence_and_preparation_works_after_space_is_freed():
    result = subprocess.run([sys.executable, "-c", _FULL_DISK], capture_output=True, text=True, check=True)
    assert "the disk must have room for" in result.stdout
    assert "free some space and run the same command again" in result.stdout
    assert not list(cache_folder().glob("*/meta.json"))
    assert prepare(find(DATASETS, "phantom")(count=4, depth=8, side=32, seed=6)).cases


def test_a_cache_folder_that_is_a_file_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="must be writable, the system says"):
        prepare(Boxes())


def test_fit_to_keeps_proportions_in_millimeters_and_the_extent():
    image = np.random.default_rng(0).random((1, 2, 20, 30)).astype(np.float32)
    mask = np.zeros((2, 20, 30), np.uint8)
    mask[:, 5:15, 10:20] = 1
    scaled = fit_to(Volume(image, mask, (2.0, 1.5, 1.0)), (64, 64))
    assert scaled.image.shape == (1, 2, 64, 64)  # 30 mm x 30 mm
    np.testing.assert_allclose(np.array(scaled.spacing[1:]) * 64, (30, 30))
    area = mask[0].sum() * 1.5
    assert scaled.mask[0].sum() * np.prod(scaled.spacing[1:]) == pytest.approx(area, rel=0.05)


def test_fit_to_does_not_change_slices_that_fit():
    volume = Volume(np.zeros((1, 2, 32, 20), np.float32), np.zeros((2, 32, 20), np.uint8), (3.0, 1.0, 1.0))
    assert fit_to(volume, (32, 32)) is volume
    assert fit_to(volume, None) is volume


@given(st.integers(3, 60), st.integers(0, 5))
def test_a_split_is_disjoint_seeded_and_independent_of_the_order_of_patients(count, seed):
    names = [f"s{i:02d}" for i in range(count)]
    split = split_patients(names, (0.6, 0.2, 0.2), seed)
    assert sorted(split.train + split.val + split.test) == names
    assert split == split_patients(names[::-1], (0.6, 0.2, 0.2), seed)
    assert min(len(split.train), len(split.val), len(split.test)) >= 1


def test_shares_of_41_patients_give_28_6_and_7_as_in_the_paper():
    split = split_patients([str(i) for i in range(41)], (0.7, 0.15, 0.15), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (28, 6, 7)


def test_numbers_of_patients_are_used_as_given():
    split = split_patients([str(i) for i in range(20)], (5, 2, 3), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (5, 2, 3)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((1, 1, 5), r"at least one of the 4 patients, \[1, 1, 5\] gives \[1, 1, 5\]: add cases"),
        ((2, 0, 1), r"\[2, 0, 1\] gives \[2, 0, 1\]"),
        ((0.5, 0.2, 0.2), r"three shares that sum to 1 or three numbers of patients, got \[0.5, 0.2, 0.2\]"),
    ],
)
def test_an_impossible_split_is_rejected(parts, sentence):
    with pytest.raises(ConfigError, match=sentence):
        split_patients(["a", "b", "c", "d"], parts, 0)


def test_the_phantom_is_generated_from_its_seed_and_varies_as_documented():
    phantom = find(DATASETS, "phantom")
    volumes = [phantom().load(name) for name in phantom().cases()]
    again = phantom().load("phantom-003")
    np.testing.assert_array_equal(again.image, volumes[3].image)
    assert not np.array_equal(phantom(seed=1).load("phantom-003").mask, again.mask)
    for volume in volumes:
        filled = volume.mask.any((1, 2))
        assert not filled[0]
        assert not filled[-1]
        assert 0.4 < filled.mean() < 0.9
    depths = {len(volume.mask) for volume in volumes}
    sizes = [volume.mask.sum(dtype=int) for volume in volumes]
    assert len(depths) > 5
    assert max(sizes) > 2 * min(sizes)


def test_a_phantom_of_depth_one_has_one_slice_with_foreground_in_every_case():
    phantom = find(DATASETS, "phantom")(depth=1)
    masks = [phantom.load(name).mask for name in phantom.cases()]
    assert {mask.shape for mask in masks} == {(1, 64, 64)}
    assert all(0.01 < mask.mean() < 0.25 for mask in masks)
    with pytest.raises(ConfigError, match=r"^data.side must be greater than or equal to 2, got 1: set it with "):
        make_dataset("phantom", {"data.side": 1})


def test_the_meta_file_contains_the_options(tmp_path):
    prepare(Boxes(size=(32, 32)))
    (meta,) = cache_folder().glob("boxes-*/meta.json")
    assert json.loads(meta.read_text())["options"]["size"] == [32, 32]
    assert (meta.parent / "masks.npy").stat().st_size > 9 * 32 * 32
