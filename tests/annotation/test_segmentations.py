"""Segmentations of whole volumes, their uncertainty, and the list of those that are least certain."""

import csv
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.stats import entropy

from albench.annotation.segmentations import (
    least_certain_csv,
    normalized_entropy,
    write_least_certain,
    write_segmentation,
)
from albench.data import AXES, Axis
from albench.datasets._formats import Arrays
from albench.datasets._nifti import file_grid
from albench.errors import DataError, StoreError
from albench.masks import UNKNOWN

AFFINE = np.array([[0, 0, -3.0, 4], [1.5, 0, 0, -2], [0, 2.0, 0, 9], [0, 0, 0, 1]])  # A, S, L
SHAPE = (6, 7, 5)


def grid_of(folder: Path, axis: Axis = "axial"):
    path = folder / "image.nii.gz"
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 2)
    nib.save(image, path)
    return file_grid(path, None, Arrays(), axis)


@pytest.mark.parametrize("axis", AXES)
def test_segmentations_and_maps_have_the_voxels_of_the_image(tmp_path, axis: Axis):
    grid = grid_of(tmp_path, axis)
    rng = np.random.default_rng(1)
    truth, certain = rng.integers(0, 3, SHAPE, np.uint8), rng.random(SHAPE)
    made = write_segmentation(tmp_path / "out", "a", grid, grid.to_slices(truth), grid.to_slices(certain))
    assert (made.segmentation, made.map) == (
        tmp_path / "out" / "segmentations" / "a.nii.gz",
        tmp_path / "out" / "uncertainty" / "a.nii.gz",
    )
    for path, values, dtype in ((made.segmentation, truth, np.uint8), (made.map, certain, np.float32)):
        written = nib.load(path)
        np.testing.assert_array_equal(np.asarray(written.dataobj), values.astype(dtype))
        assert written.get_data_dtype() == dtype
        np.testing.assert_array_equal(written.affine, nib.load(grid.path).affine)
        assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 2)
    assert made.voxels == np.count_nonzero(truth)
    assert made.uncertainty == pytest.approx(certain[(truth > 0) | (certain >= 0.5)].mean())


def test_the_least_certain_cases_come_first_after_those_without_any_find(tmp_path):
    grid = grid_of(tmp_path)
    mask = np.zeros(grid.slices, np.uint8)
    mask[2:4, 1:3, 1:4] = 1
    found = []
    for case, value in (("sure", 0.1), ("unsure", 0.4), ("empty", 0.2), ("blurred", 0.2)):
        uncertainty = np.full(grid.slices, value)
        uncertainty[5] += 0.01
        uncertainty[0, 0, 0] = 0.6 if case == "blurred" else 0
        of = np.zeros_like(mask) if case in ("empty", "blurred") else mask
        found.append(write_segmentation(tmp_path / "out", case, grid, of, uncertainty))
    path = write_least_certain(tmp_path / "out", found)
    rows = list(csv.DictReader(path.open()))
    assert [(row["order"], row["volume"], row["uncertainty"]) for row in rows] == [
        ("1", "blurred", "0.6000"),
        ("2", "empty", ""),
        ("3", "unsure", "0.4000"),
        ("4", "sure", "0.1000"),
    ]
    assert rows[2]["foreground_voxels"] == "12"
    assert rows[2]["foreground_ml"] == "0.108"  # 12 voxels of 3 x 1.5 x 2 mm
    # axial slices lie across the second dimension, which goes up
    assert (rows[2]["dimension"], rows[2]["index_3d_slicer"], rows[2]["index_itk_snap"]) == ("j", "5", "6")
    assert (rows[2]["segmentation"], rows[2]["uncertainty_map"]) == (
        "segmentations/unsure.nii.gz",
        "uncertainty/unsure.nii.gz",
    )


def test_a_segmentation_is_not_overwritten_by_another_one(tmp_path):
    grid = grid_of(tmp_path)
    mask, certain = np.zeros(grid.slices, np.uint8), np.zeros(grid.slices)
    first = write_segmentation(tmp_path / "out", "a", grid, mask, certain)
    assert write_segmentation(tmp_path / "out", "a", grid, mask, certain) == first
    with pytest.raises(StoreError, match="is never overwritten"):
        write_segmentation(tmp_path / "out", "a", grid, mask + 1, certain)


def test_what_is_no_segmentation_is_rejected(tmp_path):
    grid = grid_of(tmp_path)
    mask, certain = np.zeros(grid.slices, np.uint8), np.zeros(grid.slices)
    for wrong, of, sentence in (
        (
            mask + UNKNOWN,
            certain,
            "a segmentation must have a label for every voxel, that of 'a' has 255: predict all",
        ),
        (
            mask,
            certain[1:],
            "uncertainty must have the shape of its segmentation, got (6, 6, 5) and (7, 6, 5) for 'a': bring both to "
            "the grid of the file",
        ),
        (mask, certain + 1.5, "uncertainty must be from 0 to 1, that of 'a' is from 1.5 to 1.5: normalize it"),
        (mask, certain + np.nan, "uncertainty must be from 0 to 1, that of 'a' is from nan to nan: normalize it"),
    ):
        with pytest.raises(DataError) as error:
            write_segmentation(tmp_path / "out", "a", grid, wrong, of)
        assert str(error.value) == sentence
    assert not (tmp_path / "out").exists()


def test_a_list_without_cases_has_its_header_only(tmp_path):
    assert list(csv.reader(io.StringIO(least_certain_csv([], tmp_path))))[1:] == []


@pytest.mark.parametrize("outputs", [1, 3, 5])
def test_entropy_is_normalized_as_scipy_does_it(outputs):
    logits = torch.randn(2, outputs, 4, 5, generator=torch.Generator().manual_seed(0))
    probs = torch.sigmoid(logits) if outputs == 1 else logits.softmax(1)
    parts = torch.cat([1 - probs, probs], 1) if outputs == 1 else probs
    expected = entropy(parts.numpy(), base=parts.shape[1], axis=1)
    np.testing.assert_allclose(normalized_entropy(probs), expected, rtol=1e-5)
