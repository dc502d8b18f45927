from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import write_hdf5, write_itk
from support.samples import write_pair

from albench.errors import DataError
from albench.registry import DATASETS, find

SHAPE = (24, 20, 8)
IMAGE = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)


def drawn(value: float = 1) -> np.ndarray:
    values = np.zeros(SHAPE, np.float32)
    values[6:16, 5:15, 2:6] = value
    return values


def labels_of(root: Path, mask: np.ndarray, **options: object) -> np.ndarray:
    """The label map that a mask of NIfTI becomes, (i, j, k) as in the file; the classes 1 and 2 are `a` and `b`."""
    write_pair(root, "one", IMAGE, mask, np.diag([1, 1, 3, 1.0]))
    data = find(DATASETS, "folder")(root=str(root), classes={"a": 1, "b": 2, "c": 3}, **options)
    return data.load("one").mask.transpose(2, 1, 0)[::-1, ::-1]


def sentence(root: Path, mask: np.ndarray) -> str:
    with pytest.raises(DataError) as rejected:
        labels_of(root, mask)
    return str(rejected.value).replace(str(root / "labelsTr"), "")


@pytest.mark.parametrize("value", [0.999, 0.9882, 3.0000457, 1.0005, 2.0000001, 2.02, 0.98, 1.01])
def test_floats_near_whole_numbers_are_rounded(tmp_path, value):
    np.testing.assert_array_equal(labels_of(tmp_path, drawn(value)), drawn(round(value)))


def test_the_noise_of_resampling_around_labels_is_rounded(tmp_path):
    noisy = drawn(2) + np.random.default_rng(0).uniform(-0.015, 0.015, SHAPE).astype(np.float32)
    np.testing.assert_array_equal(labels_of(tmp_path, noisy), drawn(2))
    exact = drawn(1) + np.random.default_rng(0).uniform(-5e-4, 5e-4, SHAPE).astype(np.float32)
    np.testing.assert_array_equal(labels_of(tmp_path, exact), drawn(1))


def test_floats_far_from_whole_numbers_are_told(tmp_path):
    mask = drawn(2)
    mask[0, 0, :3] = (0.4, 0.97, 1.5)
    assert sentence(tmp_path, mask) == (
        "a mask must contain whole numbers, '/one.nii.gz' does not, 3 of 3,840 voxels are more than 0.02 off, such as "
        "0.4 and 0.97 and 1.5, and all finite values lie from 0 to 2: save labels, not probabilities"
    )
    mask[0, 0, 0] = np.nan
    assert sentence(tmp_path, mask) == (
        "a mask must contain whole numbers, '/one.nii.gz' does not, 3 of 3,840 voxels are more than 0.02 off, such as "
        "0.97 and 1.5 and nan, and all finite values lie from 0 to 2: save labels, not probabilities"
    )


def test_probabilities_are_told_even_if_all_are_near_0_or_1(tmp_path):
    mask = np.abs(drawn(1) - np.linspace(0.002, 0.019, 3840).astype(np.float32).reshape(SHAPE))
    assert sentence(tmp_path, mask) == (
        "a mask must contain whole numbers, '/one.nii.gz' does not, 3,840 of 3,840 voxels are more than 0.001 off, "
        "such as 0.002 and 0.00200443 and 0.00200886, and all finite values lie from 0.002 to 0.993563: save labels, "
        "not probabilities"
    )


def scaled(root: Path, slope: float, intercept: float) -> Path:
    path = root / "labelsTr" / "one.nii.gz"
    image = nib.Nifti1Image(drawn(100).astype(np.uint8), np.diag([1, 1, 3, 1.0]))
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, path)
    return path


def test_masks_are_scaled_as_their_header_says(tmp_path):
    np.testing.assert_array_equal(labels_of(tmp_path, drawn()), drawn())
    path = scaled(tmp_path, 0.01, 0)
    data = find(DATASETS, "folder")(root=str(tmp_path), classes={"a": 1})
    np.testing.assert_array_equal(data.load("one").mask.transpose(2, 1, 0)[::-1, ::-1], drawn())
    scaled(tmp_path, 0.004, 0)
    with pytest.raises(DataError) as rejected:
        find(DATASETS, "folder")(root=str(tmp_path), classes={"a": 1}).load("one")
    assert str(rejected.value) == (
        f"a mask must contain whole numbers, '{path}' does not, 400 of 3,840 voxels are more than 0.02 off, such as "
        "0.4, and all finite values lie from 0 to 0.4: save labels, not probabilities, or set scl_slope to 1 and "
        "scl_inter to 0 in its header if the stored numbers are labels"
    )


def volumes(*places: slice, background: bool) -> np.ndarray:
    """One volume of 0 and 1 for each range of rows, the background before them on request."""
    made = np.zeros((*SHAPE, len(places)), np.uint8)
    for index, place in enumerate(places):
        made[place, 5:15, 2:6, index] = 1
    return np.concatenate([1 - made.max(-1, keepdims=True), made], -1) if background else made


TWO = slice(2, 8), slice(12, 20)
EXPECTED = volumes(*TWO, background=False) @ np.array([1, 2])


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.uint8, 1), (np.uint8, 255), (np.int16, 1), (np.float32, 1), (np.float32, 0.999)]
)
@pytest.mark.parametrize("singleton", [False, True])
def test_one_volume_per_class_becomes_labels_in_that_order(tmp_path, background, dtype, factor, singleton):
    mask = (volumes(*TWO, background=background) * np.float32(factor)).astype(dtype)
    mask = mask[:, :, :, None] if singleton else mask
    np.testing.assert_array_equal(labels_of(tmp_path, mask), EXPECTED)


def test_one_volume_of_four_dimensions_is_that_volume(tmp_path):
    np.testing.assert_array_equal(labels_of(tmp_path, EXPECTED[..., None].astype(np.uint8)), EXPECTED)


def test_volumes_per_class_of_other_formats_become_labels(tmp_path):
    mask = volumes(*TWO, background=True)
    options = {"classes": {"a": 1, "b": 2}}
    write_itk(tmp_path / "a" / "imagesTr" / "one.nrrd", IMAGE, np.eye(4))
    write_itk(tmp_path / "a" / "labelsTr" / "one.nrrd", mask, np.eye(4))
    write_hdf5(tmp_path / "b" / "one.h5", image=IMAGE, label=np.moveaxis(mask > 0, -1, 0))
    for root, more in (("a", {}), ("b", {"h5_axes": "cxyz"})):
        data = find(DATASETS, "folder")(root=str(tmp_path / root), **options, **more)
        np.testing.assert_array_equal(data.load("one").mask.transpose(2, 1, 0)[::-1, ::-1], EXPECTED)


def test_volumes_that_overlap_are_told(tmp_path):
    mask = volumes(slice(2, 8), slice(6, 12), background=False)
    assert sentence(tmp_path, mask) == (
        "a mask of 2 volumes must give every voxel at most one class, '/one.nii.gz' gives several to 80 of 3,840 "
        "voxels: save one volume of labels, or one mask for each of overlapping regions, which need one run each"
    )


def test_a_background_with_holes_is_told(tmp_path):
    mask = volumes(*TWO, background=True)
    mask[0, 0, :3] = 0
    assert sentence(tmp_path, mask) == (
        "a mask of 3 volumes must have one for the background or leave it out, '/one.nii.gz' gives no class to 3 of "
        "3,840 voxels only: add them to the background"
    )


def test_volumes_of_labels_are_told(tmp_path):
    mask = volumes(*TWO, background=False) * np.array([1, 2], np.uint8)
    assert sentence(tmp_path, mask) == (
        "a mask of 2 volumes must have one for each class, of 0 and 1, '/one.nii.gz' has 0, 1, 2: save one volume of "
        "labels"
    )


def test_probabilities_of_classes_are_told(tmp_path):
    mask = volumes(*TWO, background=True) * np.float32(0.7)
    assert sentence(tmp_path, mask) == (
        "a mask must contain whole numbers, '/one.nii.gz' does not, 3,840 of 11,520 voxels are more than 0.02 off, "
        "such as 0.7, and all finite values lie from 0 to 0.7: save labels, not probabilities"
    )
