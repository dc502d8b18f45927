"""Where slices lie in files: all orientations, along all axes, against nibabel and SimpleITK."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import ornt2axcodes
from support.orientations import CODES, ORIENTATIONS, saved_as
from support.samples import write_pair

from albench.data import AXES, Axis, FileGrid
from albench.errors import DataError
from albench.registry import DATASETS, find

SPACING = (0.7, 1.1, 2.5)


def numbered() -> np.ndarray:
    """(x, y, z) values, all different."""
    return np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_slices_of_every_orientation_are_the_same_and_go_back_to_where_they_were(axis: Axis, orientation):
    values, affine = saved_as(numbered(), orientation)
    assert "".join(nib.aff2axcodes(affine)) == "".join(ornt2axcodes(orientation))
    grid = FileGrid(Path("a.nii.gz"), values.shape, affine, axis)
    down = numbered()[::-1, ::-1]  # x to the left, y to the back
    expected = {
        "axial": down.transpose(2, 1, 0),
        "coronal": down.transpose(1, 2, 0)[:, ::-1],
        "sagittal": down.transpose(0, 2, 1)[:, ::-1],
    }[axis]
    slices = grid.to_slices(values)
    np.testing.assert_array_equal(slices, expected)
    np.testing.assert_array_equal(grid.from_slices(slices), values)
    assert grid.slices == slices.shape
    sizes = dict(zip(("sagittal", "coronal", "axial"), SPACING, strict=True))
    assert grid.spacing[0] == pytest.approx(sizes[axis])
    for position, plane in enumerate(slices):
        dimension, index = grid.index(position)
        assert set(np.take(values, index, dimension).ravel()) == set(plane.ravel())


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_the_center_of_a_slice_is_that_of_nibabel_and_simpleitk(axis: Axis, orientation):
    sitk = pytest.importorskip("SimpleITK")
    values, affine = saved_as(numbered(), orientation)
    grid = FileGrid(Path("a.nii.gz"), values.shape, affine, axis)
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))  # which counts to the left and to the back
    sizes = nib.affines.voxel_sizes(affine)
    flip = np.diag([-1.0, -1, 1])
    image.SetSpacing(sizes.tolist())
    image.SetDirection((flip @ affine[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin((flip @ affine[:3, 3]).tolist())
    for position in range(grid.slices[0]):
        dimension, index = grid.index(position)
        voxel = (np.array(values.shape) - 1) / 2
        voxel[dimension] = index
        assert grid.center(position) == pytest.approx(tuple(nib.affines.apply_affine(affine, voxel)))
        left, back, up = image.TransformContinuousIndexToPhysicalPoint(voxel.tolist())
        assert grid.center(position) == pytest.approx((-left, -back, up), abs=1e-5)
    assert grid.normal() == pytest.approx(np.eye(3)[AXES.index(axis)])


def test_an_oblique_volume_has_an_oblique_normal():
    affine = np.diag([1.0, 1, 3, 1])
    affine[:3, :3] = [[1, 0, 0], [0, 0.8, 1.8], [0, -0.6, 2.4]]  # 37 degrees about x
    grid = FileGrid(Path("a.nii.gz"), (4, 5, 6), affine, "axial")
    assert grid.normal() == pytest.approx((0, 0.6, 0.8))
    moved = FileGrid(Path("a.nii.gz"), (4, 5, 6), affine @ np.diag([-1, 1, 1, 1]), "axial")
    assert moved.normal() == pytest.approx((0, 0.6, 0.8))


def test_a_dataset_of_files_gives_the_grid_of_every_case_and_reads_labels(tmp_path):
    affine = np.diag([-1.0, 1, 4, 1])
    mask = np.zeros((8, 9, 5), np.uint8)
    mask[2:4, 3:5, 1] = 1
    _, path = write_pair(tmp_path, "a", mask + np.arange(5, dtype=np.int16), mask, affine)
    data = find(DATASETS, "folder")(root=str(tmp_path))
    grid = data.file_grid("a")
    assert (grid.path, grid.shape, grid.axis) == (tmp_path / "imagesTr" / "a.nii.gz", (8, 9, 5), "axial")
    read = data.read_labels(path)
    np.testing.assert_array_equal(grid.to_slices(read.values), data.load("a").mask)
    np.testing.assert_array_equal(read.affine, affine)
    assert not read.partial
    with pytest.raises(DataError, match="must exist to be read, it does not: name a file with labels"):
        data.read_labels(tmp_path / "b.nii.gz")


def test_a_dataset_without_files_has_nothing_to_draw_on(tmp_path):
    data = find(DATASETS, "phantom")()
    grid = data.file_grid(data.cases()[0])
    with pytest.raises(DataError, match="only volumes in files can be drawn on, these are generated"):
        grid.path  # noqa: B018
    with pytest.raises(DataError, match="only a dataset of files reads what people have drawn, 'phantom' is generated"):
        data.read_labels(tmp_path)
