"""The label files that annotators get, on volumes of all orientations and formats."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import write_dicom, write_itk
from support.orientations import CODES, ORIENTATIONS, RAS, saved_as

from albench.annotation import Asked, Rules, read_returned, write_label_file
from albench.annotation.volume_files import write_volume
from albench.data import AXES, Axis, FileGrid
from albench.datasets._formats import Arrays
from albench.datasets._nifti import file_grid, read_labels
from albench.errors import DataError, StoreError
from albench.masks import UNKNOWN

RULES = Rules(("liver",))


def reader(path: Path):
    return read_labels(path, Arrays())


def grid_of(path: Path, axis: Axis = "axial") -> FileGrid:
    return file_grid(path, None, Arrays(), axis)


def write_image(path: Path, shape: tuple[int, int, int] = (6, 7, 5), affine: np.ndarray = RAS) -> Path:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def ball() -> np.ndarray:
    """(x, y, z) truth that differs in all directions."""
    truth = np.zeros((6, 7, 5), np.uint8)
    truth[1:4, 2:6, 1:3] = 1
    truth[2, 1, 0] = truth[5, 5, 4] = 1
    return truth


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_what_is_drawn_at_the_stated_index_lands_on_the_queried_slice(tmp_path, orientation, axis: Axis):
    truth, affine = saved_as(ball(), orientation)
    image = write_image(tmp_path / "a.nii.gz", truth.shape, affine)
    grid = grid_of(image, axis)
    expected = grid.to_slices(truth)
    positions = (1, 3)
    asked = Asked("a", grid, positions)
    write_label_file(tmp_path / "labels" / "a.nii.gz", asked)
    written = nib.load(tmp_path / "labels" / "a.nii.gz")
    np.testing.assert_array_equal(written.affine, nib.load(image).affine)
    assert (written.get_data_dtype(), written.shape) == (np.uint8, truth.shape)
    values = np.asarray(written.dataobj).copy()
    for position in positions:
        dimension, index = grid.index(position)
        at = tuple(index if i == dimension else slice(None) for i in range(3))
        assert not values[at].any()  # the slice that is asked for is the one that is empty
        values[at] = truth[at]  # drawn at the stated index
    nib.save(nib.Nifti1Image(values, written.affine), tmp_path / "a.nii.gz")
    returned = read_returned(tmp_path / "a.nii.gz", asked, reader, Rules(("liver",), untouched_is_done=True))
    assert sorted(returned.masks) == [1, 3]
    for position in positions:
        np.testing.assert_array_equal(returned.masks[position], expected[position])
    assert (returned.extra, returned.open, returned.findings) == ((), (), ())


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_what_is_drawn_and_saved_by_itk_lands_on_the_queried_slice(tmp_path, orientation):
    """ITK reads the label file, changes slices by its own index, and saves them with another data type."""
    sitk = pytest.importorskip("SimpleITK")
    truth, affine = saved_as(ball(), orientation)
    grid = grid_of(write_image(tmp_path / "a.nii.gz", truth.shape, affine))
    asked = Asked("a", grid, (0, 2))
    write_label_file(tmp_path / "l.nii.gz", asked)
    drawn = sitk.Cast(sitk.ReadImage(str(tmp_path / "l.nii.gz")), sitk.sitkInt16)
    for position in asked.positions:
        dimension, index = grid.index(position)
        for voxel in np.argwhere(truth):
            if voxel[dimension] == index:
                drawn.SetPixel(*voxel.tolist(), 1)
    for name in ("back.nii.gz", "back.nrrd", "back.mha"):
        sitk.WriteImage(sitk.DICOMOrient(drawn, "LPS") if name == "back.mha" else drawn, str(tmp_path / name), True)
        returned = read_returned(tmp_path / name, asked, reader, RULES)
        assert sorted(returned.masks) == [0, 2]
        for position, mask in returned.masks.items():
            np.testing.assert_array_equal(mask, grid.to_slices(truth)[position])
        assert returned.findings == ()


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_masks_of_whole_volumes_match_the_truth_voxel_by_voxel(tmp_path, orientation, axis: Axis):
    truth, affine = saved_as(ball(), orientation)
    image = write_image(tmp_path / "a.nii.gz", truth.shape, affine)
    grid = grid_of(image, axis)
    write_volume(tmp_path / "out.nii.gz", grid.to_slices(truth), grid)
    written = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), truth)
    np.testing.assert_array_equal(written.affine, nib.load(image).affine)
    np.testing.assert_array_equal(written.header.get_zooms(), nib.load(image).header.get_zooms())


@pytest.mark.parametrize("codes", [*itertools.product((0, 1, 2, 4), repeat=2)])
def test_label_files_have_qform_and_sform_of_their_image(tmp_path, codes):
    left = RAS @ np.diag([-1.0, 1, 1, 1])  # a qform of the other handedness
    image = nib.Nifti1Image(np.ones((6, 7, 5), np.float32), left)
    other = left.copy()
    other[:3, 3] += 3  # forms that differ: a tool takes the one it prefers of both files
    image.set_qform(left, codes[0])
    image.set_sform(other, codes[1])
    image.header.set_xyzt_units("micron", "sec")
    nib.save(image, tmp_path / "a.nii.gz")
    write_label_file(tmp_path / "l.nii.gz", Asked("a", grid_of(tmp_path / "a.nii.gz"), (2,)))
    first, second = (nib.load(tmp_path / name).header for name in ("a.nii.gz", "l.nii.gz"))
    for form in ("get_qform", "get_sform"):
        (one, code), (two, same) = getattr(first, form)(coded=True), getattr(second, form)(coded=True)
        assert code == same
        assert code == 0 or np.array_equal(one, two)
    assert second.get_xyzt_units()[0] == "micron"


def test_label_files_of_simpleitk_lie_on_their_image(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    turned = RAS.copy()
    angle = np.deg2rad(20)
    turned[:3, :3] = (
        np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ RAS[:3, :3]
    )
    for name in ("a.mha", "a.nrrd", "a.nii.gz"):
        image = tmp_path / name
        if name.endswith(".gz"):
            write_image(image, affine=turned)
        else:
            write_itk(image, np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32), turned)
        path = tmp_path / f"{name}-labels.nii.gz"
        write_label_file(path, Asked("a", grid_of(image, "coronal"), (2,)))
        one, two = sitk.ReadImage(str(image)), sitk.ReadImage(str(path))
        assert one.GetSize() == two.GetSize()
        assert one.GetOrigin() == pytest.approx(two.GetOrigin(), abs=1e-4)
        assert one.GetSpacing() == pytest.approx(two.GetSpacing(), abs=1e-5)
        assert one.GetDirection() == pytest.approx(two.GetDirection(), abs=1e-5)
        assert two.GetPixelIDTypeAsString() == "8-bit unsigned integer"


def test_a_dicom_series_gets_a_label_file_in_nifti(tmp_path):
    pytest.importorskip("pydicom")
    affine = np.diag([-1.0, -1, 3, 1])
    folder = write_dicom(tmp_path / "ct", np.arange(6 * 7 * 5, dtype=np.int16).reshape(6, 7, 5), affine)
    grid = grid_of(folder)
    write_label_file(tmp_path / "l.nii.gz", Asked("ct", grid, (2,)))
    written = nib.load(tmp_path / "l.nii.gz")
    assert written.shape == grid.shape
    np.testing.assert_allclose(written.affine, grid.affine)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 1)


def test_axes_that_are_not_perpendicular_have_no_qform(tmp_path):
    pytest.importorskip("SimpleITK")
    sheared = RAS.copy()
    sheared[0, 2] = 0.8
    grid = FileGrid(tmp_path / "a.h5" / "image", (6, 7, 5), sheared, "axial")
    write_label_file(tmp_path / "l.nii.gz", Asked("a", grid, (2,)))
    written = nib.load(tmp_path / "l.nii.gz")
    np.testing.assert_allclose(written.affine, sheared, atol=1e-6)
    assert int(written.header["qform_code"]) == 0


def test_suggestions_are_written_where_they_are_asked_for(tmp_path):
    grid = grid_of(write_image(tmp_path / "a.nii.gz"))
    suggestion = np.zeros((7, 6), np.uint8)
    suggestion[2:4, 1:3] = 1
    asked = Asked("a", grid, (4, 1), {4: suggestion})
    write_label_file(tmp_path / "l.nii.gz", asked)
    slices = grid.to_slices(np.asarray(nib.load(tmp_path / "l.nii.gz").dataobj))
    np.testing.assert_array_equal(slices[4], suggestion)
    assert not slices[1].any()
    assert (slices[[0, 2, 3]] == UNKNOWN).all()


def test_nothing_that_was_edited_is_overwritten(tmp_path):
    asked = Asked("a", grid_of(write_image(tmp_path / "a.nii.gz")), (1,))
    path = tmp_path / "l.nii.gz"
    write_label_file(path, asked)
    before = path.read_bytes()
    write_label_file(path, asked)  # after a kill, the same again
    assert path.read_bytes() == before
    path.write_bytes(b"edited")
    with pytest.raises(StoreError) as error:
        write_label_file(path, asked)
    assert str(error.value) == (
        f"a file that somebody may have edited is never overwritten, '{path}' has other content: choose another folder "
        "or move it away"
    )
    assert path.read_bytes() == b"edited"


def test_slices_and_suggestions_that_do_not_exist_are_rejected(tmp_path):
    grid = grid_of(write_image(tmp_path / "a.nii.gz"))
    for positions in ((5,), (-1,), (1, 1)):
        with pytest.raises(DataError, match=r"slices must be asked for once and be in their volume, 'a' has 0 to 4"):
            Asked("a", grid, positions)
    for wrong in ({2: np.zeros((7, 6), np.uint8)}, {1: np.zeros((6, 7), np.uint8)}):
        with pytest.raises(DataError, match="a suggestion must be a mask of 7 x 6 pixels for a slice that is asked"):
            Asked("a", grid, (1,), wrong)
    with pytest.raises(DataError, match="slices must have the shape of their image"):
        write_volume(tmp_path / "o.nii.gz", np.zeros((5, 6, 7), np.uint8), grid)
