"""What comes back from annotators, right or wrong: each in a sentence, and nothing lost."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import write_itk

from albench.annotation import Asked, Returned, Rules, read_folder, read_returned, write_label_file
from albench.data import FileGrid, StoredLabels
from albench.datasets._formats import Arrays
from albench.datasets._nifti import file_grid, read_labels
from albench.errors import DataError
from albench.masks import UNKNOWN

AFFINE = np.diag([-0.8, 1.2, 3.0, 1.0])
AFFINE[:3, 3] = (20, -30, 5)
SHAPE = (9, 10, 6)
RULES = Rules(("liver", "tumor"))
DONE = replace(RULES, untouched_is_done=True)


def reader(path: Path) -> StoredLabels:
    return read_labels(path, Arrays())


@pytest.fixture
def grid(tmp_path) -> FileGrid:
    path = tmp_path / "images" / "a.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), AFFINE), path)
    return file_grid(path, None, Arrays(), "axial")


@pytest.fixture
def asked(grid) -> Asked:
    return Asked("a", grid, (1, 4))


@pytest.fixture
def path(tmp_path) -> Path:
    (tmp_path / "back").mkdir()
    return tmp_path / "back" / "a.nii.gz"


def truth() -> np.ndarray:
    """(i, j, k) labels with something in every slice."""
    values = np.zeros(SHAPE, np.uint8)
    values[2:6, 3:8] = 1
    values[3:5, 4:6] = 2
    values[1, 2, 4] = 2
    return values


def edited(asked: Asked) -> np.ndarray:
    """(i, j, k) label file in which every slice that is asked for has been drawn."""
    values = asked.grid.from_slices(np.stack([asked.handed_out(z) for z in range(6)]))
    for position in asked.positions:
        values[:, :, position] = truth()[:, :, position]
    return values


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    nib.save(nib.Nifti1Image(values, affine), path)


def sentences(returned: Returned) -> list[str]:
    return [finding.sentence for finding in returned.findings]


def assert_drawn(returned: Returned, asked: Asked, positions: tuple[int, ...] = (1, 4)) -> None:
    """The slices are the truth, bit for bit."""
    assert tuple(sorted(returned.masks)) == positions
    for position, mask in returned.masks.items():
        np.testing.assert_array_equal(mask, asked.grid.to_slices(truth())[position])
        assert mask.dtype == np.uint8


# What tools change without harm


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_any_data_type_comes_back_with_and_without_compression(tmp_path, asked, dtype, suffix):
    save(tmp_path / f"b{suffix}", edited(asked).astype(dtype))
    returned = read_returned(tmp_path / f"b{suffix}", asked, reader, RULES)
    assert_drawn(returned, asked)
    assert (returned.extra, returned.open, returned.findings) == ((), (), ())


@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)])
def test_sform_only_and_qform_only_come_back(path, asked, codes):
    image = nib.Nifti1Image(edited(asked), AFFINE)
    image.set_qform(AFFINE, codes[0])
    image.set_sform(AFFINE, codes[1])
    nib.save(image, path)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


@pytest.mark.parametrize("code", ["RAS", "LPS", "SPL", "ARI", "PIL", "IAR"])
def test_another_orientation_comes_back(path, asked, code):
    image = nib.Nifti1Image(edited(asked), AFFINE)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(code))
    nib.save(image.as_reoriented(turn), path)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


@pytest.mark.parametrize("name", ["b.nrrd", "b.seg.nrrd", "b.mha"])
def test_other_formats_come_back(tmp_path, asked, name):
    pytest.importorskip("SimpleITK")
    write_itk(tmp_path / name, edited(asked), AFFINE)
    returned = read_returned(tmp_path / name, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


def test_a_padded_grid_comes_back(path, asked):
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [-2, -1, -1, 1])[:3]
    save(path, np.pad(edited(asked), ((2, 3), (1, 0), (1, 2)), constant_values=UNKNOWN), affine)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


def test_a_file_that_is_read_is_not_changed(path, asked):
    save(path, edited(asked))
    before = path.read_bytes()
    read_returned(path, asked, reader, RULES)
    assert path.read_bytes() == before


def test_a_suggestion_that_was_erased_is_drawn(path, grid):
    asked = Asked("a", grid, (1, 4), {4: np.ones((10, 9), np.uint8)})
    values = edited(asked)
    values[:, :, 4] = 0
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert sorted(returned.masks) == [1, 4]
    assert not returned.masks[4].any()
    assert returned.findings == ()


# What comes back wrong, each in a sentence


def test_a_cropped_grid_comes_back_where_its_affine_says(path, asked):
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [1, 2, 1, 1])[:3]
    save(path, edited(asked)[1:7, 2:9, 1:5], affine)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert sentences(returned) == [
        f"a label file should cover its image, '{path}' leaves out a part at k = 1, 4, which counts as it was handed "
        "out: look whether anything should be drawn there"
    ]


def test_files_that_store_only_what_is_drawn_have_background_elsewhere(path, grid):
    asked = Asked("a", grid, (1, 4), {1: np.ones((10, 9), np.uint8), 4: np.ones((10, 9), np.uint8)})
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [1, 1, 1, 1])[:3]
    part = StoredLabels(edited(asked)[1:7, 1:9, 1:5], affine, partial=True)  # as .seg.nrrd
    returned = read_returned(path, asked, lambda path: part, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


def test_slices_that_a_crop_leaves_out_stay_open(path, asked):
    save(path, edited(asked)[:, :, :3])
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked, (1,))
    assert returned.open == (4,)
    assert sentences(returned)[1] == (
        f"it must be told whether slices are empty or not done, '{path}' has no foreground at k = 4: draw there, or "
        "say --empty-is-done"
    )


def test_slices_that_nobody_asked_for_are_taken_and_counted(path, asked):
    values = edited(asked)
    values[:, :, 2] = truth()[:, :, 2]
    values[4:6, 4, 3] = 1
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert returned.extra == (2, 3)
    np.testing.assert_array_equal(returned.masks[2], asked.grid.to_slices(truth())[2])
    assert np.count_nonzero(returned.masks[3] == 1) == 2
    assert np.count_nonzero(returned.masks[3] == UNKNOWN) == 88
    assert sentences(returned) == [
        f"slices that nobody asked for count if they have foreground, '{path}' has some at k = 2, 3 and 88 voxels "
        "there stay unknown: look whether a brush of three dimensions drew them"
    ]


@pytest.mark.parametrize("step", [1, -1])
def test_slices_that_were_counted_from_another_number_are_told(path, asked, step):
    values = asked.grid.from_slices(np.stack([asked.handed_out(z) for z in range(6)]))
    for position in asked.positions:
        values[:, :, position + step] = truth()[:, :, position]
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert (returned.open, returned.extra) == ((1, 4), (1 + step, 4 + step))
    assert sentences(returned)[-1] == (
        f"slices must be drawn where they are asked for, '{path}' is drawn at k = {1 + step}, {4 + step} and not at k "
        "= 1, 4: look whether they were counted from 0 or from 1"
    )


def test_empty_slices_are_asked_about_and_stay_open(path, asked):
    values = edited(asked)
    values[:, :, 4] = 0
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked, (1,))
    assert returned.open == (4,)
    assert sentences(returned) == [
        f"it must be told whether slices are empty or not done, '{path}' has no foreground at k = 4: draw there, or "
        "say --empty-is-done"
    ]
    done = read_returned(path, asked, reader, DONE)
    assert sorted(done.masks) == [1, 4]
    assert not done.masks[4].any()
    assert (done.open, done.findings) == ((), ())


def test_suggestions_that_nobody_changed_are_asked_about(path, grid):
    suggestion = np.zeros((10, 9), np.uint8)
    suggestion[2:4, 2:4] = 1
    asked = Asked("a", grid, (1, 4), {1: suggestion})
    write_label_file(path, asked)
    returned = read_returned(path, asked, reader, RULES)
    assert (dict(returned.masks), returned.open, returned.findings) == ({}, (1, 4), ())  # nobody has begun
    values = asked.grid.from_slices(asked.slices())
    values[2:4, 2:4, 5] = 1
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert ([*returned.masks], returned.open) == ([5], (1, 4))
    assert sentences(returned)[:2] == [
        f"it must be told whether slices are empty or not done, '{path}' has no foreground at k = 4: draw there, or "
        "say --empty-is-done",
        f"it must be told whether suggestions are right or not looked at, '{path}' is as it was suggested at k = 1: "
        "correct it, or say --empty-is-done",
    ]
    done = read_returned(path, asked, reader, DONE)
    np.testing.assert_array_equal(done.masks[1], suggestion)
    assert done.open == ()


def test_slices_that_are_unknown_everywhere_stay_open(path, asked):
    values = edited(asked)
    values[:, :, 1] = UNKNOWN
    save(path, values)
    returned = read_returned(path, asked, reader, DONE)
    assert returned.open == (1,)
    assert sentences(returned) == [
        f"slices that are asked for must be drawn, '{path}' is unknown everywhere at k = 1: draw there, and give 0 to "
        "the background"
    ]


def test_voxels_that_stay_unknown_are_told(path, asked):
    values = edited(asked)
    values[0, :5, 4] = UNKNOWN
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert np.count_nonzero(returned.masks[4] == UNKNOWN) == 5
    assert sentences(returned) == [
        f"slices should be drawn completely, '{path}' leaves 5 voxels unknown at k = 4: give them a class, or 0"
    ]


def test_labels_nobody_declared_leave_their_slices_open(path, asked):
    values = edited(asked).astype(np.int16)
    values[0, 0, 4] = 7
    values[0, 1:3, 4] = -3
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked, (1,))
    assert returned.open == (4,)
    assert sentences(returned) == [
        f"labels must be 0, 1 liver, 2 tumor or 255, '{path}' has -3 in 2 voxels, 7 in 1 voxels and does not count at "
        "k = 4: give these voxels one of the labels"
    ]
    assert returned.findings[0].serious


@pytest.mark.parametrize("label", [1, 2, 3])
def test_labels_that_a_tool_numbered_anew_are_recognized_by_the_slices_they_fill(path, asked, label):
    values = edited(asked)
    values[values == label] = 0
    drawn = values[:, :, 1].copy()
    values[values == UNKNOWN] = label
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert sorted(returned.masks) == [1, 4]
    np.testing.assert_array_equal(returned.masks[1], drawn.T[::-1])
    assert sentences(returned) == [
        f"unknown voxels must have the label 255, in '{path}' label {label} fills the slices that nobody asked for and "
        "was taken for it: save labels without numbering them anew"
    ]


def test_unknown_voxels_that_were_erased_are_no_labels(path, asked):
    values = edited(asked)
    values[values == UNKNOWN] = 0
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert (returned.extra, returned.findings) == ((), ())


def test_a_slice_that_was_filled_by_mistake_does_not_stand_for_unknown(path, asked):
    values = edited(asked)
    values[values == UNKNOWN] = 0
    values[:, :, 3] = 1
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert returned.extra == (3,)
    assert "a class should not fill a slice" in sentences(returned)[1]


def test_a_class_that_fills_a_slice_is_told(path, asked):
    values = edited(asked)
    values[:, :, 4] = 2
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert returned.open == ()
    assert sentences(returned) == [
        f"a class should not fill a slice, one does so in '{path}' at k = 4: look whether it was filled by mistake"
    ]


def test_labels_beside_the_image_are_told(path, asked):
    values = np.pad(edited(asked), ((0, 2), (0, 0), (0, 0)), constant_values=UNKNOWN)
    values[9:, 3, 1] = 1
    save(path, values)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert sentences(returned) == [
        f"labels must lie on the image, 2 voxels of '{path}' lie beside it and are left out: look whether the file is "
        "of this volume"
    ]


def off(text: str) -> np.ndarray:
    """An affine that is not that of the image."""
    affine = AFFINE.copy()
    if text == "spacing":
        affine[:3, :3] *= 0.5
    elif text == "shifted":
        affine[0, 3] += 0.4
    elif text == "tilted":
        affine[:3, :3] = [
            [-0.8, 0, 0],
            [0, 1.2 * np.cos(0.2), -3 * np.sin(0.2)],
            [0, 1.2 * np.sin(0.2), 3 * np.cos(0.2)],
        ]
    elif text == "turned":
        turn = np.array([[np.cos(1), -np.sin(1), 0], [np.sin(1), np.cos(1), 0], [0, 0, 1]])
        affine[:3, :3] = turn @ AFFINE[:3, :3]
    elif text == "lost directions":
        affine = np.diag([0.8, 1.2, 3.0, 1.0])
        affine[:3, 3] = AFFINE[:3, 3]
    elif text == "elsewhere":
        affine[:3, 3] += 3000 * np.abs(np.diag(AFFINE)[:3])
    return affine


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "spacing",
            "a label file must have the voxels of its image, those of '{path}' have 0.4 x 0.6 x 1.5 mm and those of "
            "'{image}' 0.8 x 1.2 x 3 mm: save it with the image as reference, without resampling",
        ),
        (
            "shifted",
            "a label file must lie on the voxels of its image, the corners of '{path}' are up to 0.4 mm off those of "
            "'{image}': save it with the image as reference, or take its voxels as they are with --mask-grid image if "
            "only its header is wrong",
        ),
        (
            "tilted",
            "a label file must lie on the voxels of its image, the corners of '{path}' are up to 3.69 mm off those of "
            "'{image}': save it with the image as reference, or take its voxels as they are with --mask-grid image if "
            "only its header is wrong",
        ),
        (
            "turned",
            "a label file must have the axes of its image in any order and direction, those of '{path}' are rotated or "
            "sheared against '{image}': save it with the image as reference, without transforms",
        ),
        (
            "lost directions",
            "a label file must lie within its image or around it, '{path}' reaches 8 voxels beyond '{image}' at one "
            "end of i and ends 8 before it at the other: compare their headers, a tool may have lost directions or the "
            "origin, or take its voxels as they are with --mask-grid image",
        ),
        (
            "elsewhere",
            "a label file must lie where its image is, no voxel of '{path}' is on '{image}': compare their headers, it "
            "may be of another volume",
        ),
    ],
)
def test_a_grid_that_is_not_that_of_the_image_is_rejected(path, asked, kind, sentence):
    save(path, edited(asked), off(kind))
    returned = read_returned(path, asked, reader, RULES)
    assert sentences(returned) == [sentence.format(path=path, image=asked.grid.path)]
    assert (dict(returned.masks), returned.open, returned.findings[0].serious) == ({}, (1, 4), True)
    trusted = read_returned(path, asked, reader, replace(RULES, mask_grid="image"))
    assert_drawn(trusted, asked)
    assert trusted.findings == ()


def test_voxels_in_the_order_of_the_image_must_be_as_many(path, asked):
    save(path, edited(asked)[:, :, :5])
    returned = read_returned(path, asked, reader, replace(RULES, mask_grid="image"))
    assert sentences(returned) == [
        f"a label file must have the shape of its image, '{path}' has (9, 10, 5) and '{asked.grid.path}' (9, 10, 6): "
        "save it on the grid of the image"
    ]


def test_rounded_headers_are_not_taken_for_another_grid(path, asked):
    affine = AFFINE + np.random.default_rng(0).normal(scale=1e-4, size=(4, 4)) * [[1], [1], [1], [0]]
    save(path, edited(asked), affine)
    returned = read_returned(path, asked, reader, RULES)
    assert_drawn(returned, asked)
    assert returned.findings == ()


def damaged(kind: str, path: Path, values: np.ndarray) -> str:
    """Write a file that cannot be read, and the beginning of what is said of it."""
    if kind == "probabilities":
        save(path, np.linspace(0, 1, values.size).reshape(values.shape).astype(np.float32))
        return f"a mask must contain whole numbers, '{path}' does not"
    if kind == "flat":
        save(path, values[0, 0])
        return f"'{path}' must be a 3D volume, it has shape (6,)"
    if kind == "colors":
        color = np.zeros(values.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        save(path, color)
        return f"a mask must have one number per voxel, '{path}' has colors: save labels"
    if kind == "singular":
        image = nib.Nifti1Image(values, AFFINE)
        image.header["srow_x"] = 0
        image.header["sform_code"] = 1
        path.write_bytes(gzip.compress(image.header.binaryblock + b"\0" * 4 + values.tobytes("F")))
        return f"'{path}' must have a voxel size and directions in its header, its affine is not invertible: repair it"
    save(path, np.random.default_rng(0).integers(0, 3, (30, 30, 30), np.uint8))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-8])
        return f"'{path}' must be complete, it cannot be read to its end"
    path.write_bytes({"empty": b"", "text": b"these are not labels"}[kind])
    return f"'{path}' must be a readable NIfTI file, it is not"


@pytest.mark.parametrize("kind", ["probabilities", "flat", "colors", "singular", "cut", "empty", "text"])
def test_files_that_hold_no_labels_are_told_and_left_as_they_are(path, asked, kind):
    beginning = damaged(kind, path, edited(asked))
    before = path.read_bytes()
    returned = read_returned(path, asked, reader, RULES)
    assert len(returned.findings) == 1
    assert returned.findings[0].sentence.startswith(beginning)
    assert (dict(returned.masks), returned.open, returned.findings[0].serious) == ({}, (1, 4), True)
    assert path.read_bytes() == before


# Folders and several annotators


def test_a_folder_is_read_volume_by_volume(tmp_path, asked, path):
    other = Asked("b", asked.grid, (2,))
    save(path, edited(asked))
    (tmp_path / "back" / "worklist.csv").write_text("")
    (tmp_path / "back" / "._a.nii.gz").write_bytes(b"of a Mac")
    save(tmp_path / "back" / "Untitled.nii.gz", edited(asked))
    returned, findings = read_folder(tmp_path / "back", [asked, other], reader, RULES)
    assert_drawn(returned["a"], asked)
    assert returned["b"].open == (2,)
    assert [finding.sentence for finding in findings] == [
        f"a volume must come back as b.nii.gz, it is not in '{tmp_path / 'back'}', and its slices stay open: copy it "
        "there, or name the folder where it was saved",
        f"a label file must be named after its volume, '{tmp_path / 'back' / 'Untitled.nii.gz'}' is of none of 'a', "
        "'b': rename it, such as to b.nii.gz",
    ]


def test_the_longest_name_of_a_volume_decides(tmp_path, grid):
    first, second = Asked("a", grid, (1, 4)), Asked("a_1", grid, (1, 4))
    save(tmp_path / "a_1-anna.nii.gz", edited(first))
    returned, _ = read_folder(tmp_path, [first, second], reader, RULES)
    assert (returned["a"].open, returned["a_1"].open) == ((1, 4), ())


@pytest.mark.parametrize("names", [("a-anna.nii.gz", "a_ben.nii"), ("anna/a.nii.gz", "ben/a.nii.gz")])
def test_two_annotators_are_told_apart_and_joined_by_a_rule(tmp_path, asked, names):
    one, two = edited(asked), edited(asked)
    two[2, 3:8, 1] = 0
    two[:, :, 4] = 0  # not done by ben
    for name, values in zip(names, (one, two), strict=True):
        (tmp_path / "back" / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / "back" / name, values)
    returned, findings = read_folder(tmp_path / "back", [asked], reader, RULES)
    assert returned["a"].open == (1,)
    assert sorted(returned["a"].masks) == [4]
    # liver 16 and 11 voxels with 11 in common, tumor alike
    (score,) = returned["a"].agreement.values()
    assert score == pytest.approx((2 * 11 / (16 + 11) + 1) / 2)
    assert list(returned["a"].agreement) == ["anna and ben"]
    assert findings[-1].sentence == (
        "a slice must have one mask, 'a' was drawn by several of 'anna', 'ben' at k = 1 (Dice of anna and ben 0.907): "
        "choose how masks are joined with --raters majority, any, all or first"
    )
    for rule, expected in (("any", one), ("all", two), ("majority", two), ("first", one)):
        joined, told = read_folder(tmp_path / "back", [asked], reader, replace(RULES, raters=rule))
        np.testing.assert_array_equal(joined["a"].masks[1], asked.grid.to_slices(expected)[1])
        np.testing.assert_array_equal(joined["a"].masks[4], asked.grid.to_slices(one)[4])
        assert joined["a"].open == ()
        assert told[-1].sentence == (
            f"'a' was drawn by several of 'anna', 'ben' at k = 1, and the rule '{rule}' joins their masks (Dice of "
            "anna and ben 0.907): look at both where they disagree"
        )


def test_two_files_of_one_annotator_are_told(tmp_path, asked, path):
    save(path, edited(asked))
    shutil.copy(path, tmp_path / "back" / "a.nii")
    (tmp_path / "back" / "a.nii").write_bytes(gzip.decompress(path.read_bytes()))
    returned, findings = read_folder(tmp_path / "back", [asked], reader, RULES)
    assert_drawn(returned["a"], asked)
    assert [finding.sentence for finding in findings] == [
        f"a label file must be there once, '{path}' and '{tmp_path / 'back' / 'a.nii'}' are both of 'a', and only the "
        "latter was read: remove one of them, or put those of each annotator into a folder"
    ]


def test_a_folder_that_does_not_exist_is_an_error(tmp_path, asked):
    with pytest.raises(DataError, match=r"label files must be in a folder, '.*/none' is none: name the folder where"):
        read_folder(tmp_path / "none", [asked], reader, RULES)
