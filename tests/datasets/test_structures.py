"""Structure sets of DICOM (RTSTRUCT): contours become masks."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import LPS, outlines, write_dicom, write_structures
from support.samples import invoke, write_pair

from albench.data import prepare
from albench.datasets._formats.polygons import filled
from albench.errors import ConfigError, DataError
from albench.registry import DATASETS, find

PLAIN = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 5.5], [0, 0, 0, 1]])
TILTED = nib.affines.from_matvec(np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]) * [0.5, 0.75, 3], [1, 2, 3])
SAGITTAL = np.array([[0, 0, -3.0, 4], [0.5, 0, 0, 1], [0, -0.75, 0, 7], [0, 0, 0, 1]])
SHEARED = PLAIN + np.array([[0, 0, 0, 0], [0, 0, 1.1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])  # a CT with a tilted gantry
SHAPE = (24, 20, 8)
SQUARE = np.array([(2, 2), (2, 9), (9, 9), (9, 2)]) - 0.5  # 7 x 7 voxels


def folder(root: Path, **options: object):
    return find(DATASETS, "folder")(root=str(root), **options)


def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.int16)


def at(points: np.ndarray, k: float, affine: np.ndarray = PLAIN) -> np.ndarray:
    """Corners in voxels as a contour of slice k in millimeters."""
    return nib.affines.apply_affine(LPS @ affine, np.column_stack([points, np.full(len(points), k)]))


def structures(root: Path, *regions: tuple[str, list[np.ndarray]], affine: np.ndarray = PLAIN, **options: str) -> Path:
    """A folder with one case whose mask is a structure set; the folder of the series has its own."""
    series = write_dicom(root / "imagesTr" / "a", image(), affine, series="1.2.3")
    write_structures(root / "labelsTr" / "a.dcm", series, regions, **options)
    return root


def mask_of(root: Path, **options: object) -> np.ndarray:
    """(i, j, k) as in the series of PLAIN."""
    return folder(root, **options).load("a").mask.transpose(2, 1, 0)[::-1, ::-1]


@pytest.mark.parametrize("seed", range(20))
def test_filling_is_even_and_odd_for_every_voxel_center(seed):
    """Against matplotlib, polygon by polygon, where no center is within 1 % of a voxel of an edge."""
    from matplotlib.path import Path as Polygon

    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    contours = [rng.uniform(-8, 48, (rng.integers(3, 12), 2)) for _ in range(rng.integers(1, 4))]
    centers = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2)
    odd = np.zeros(len(centers), bool)
    near = np.full(len(centers), np.inf)
    for contour in contours:
        odd ^= Polygon(np.vstack([contour, contour[:1]]), closed=True).contains_points(centers)
        for start, end in zip(contour, np.roll(contour, -1, 0), strict=True):
            share = ((centers - start) @ (end - start) / ((end - start) @ (end - start))).clip(0, 1)
            near = np.minimum(near, np.linalg.norm(start + share[:, None] * (end - start) - centers, axis=1))
    found = filled(contours, shape).ravel()
    np.testing.assert_array_equal(found[near > 0.015], odd[near > 0.015])
    assert found[near <= 0.007].all()


def test_contours_reach_beyond_the_image_however_far():
    far = np.array([(-1e300, -1e300), (-1e300, 1e300), (2.5, 1e300), (2.5, -1e300)])
    beyond = np.array([(1e300, 0), (1.1e300, 0), (1e300, 9)])
    np.testing.assert_array_equal(filled([far, beyond], (5, 4)), np.indices((5, 4))[0] < 3)


@pytest.mark.parametrize("turned", [False, True])
def test_a_contour_through_voxel_centers_encloses_them(turned):
    """As programs trace masks: the square of the centers 2 to 8, a triangle, a line and a point."""
    square, triangle = np.array([(2.0, 2), (2, 8), (8, 8), (8, 2)]), np.array([(1.0, 1), (1, 7), (7, 1)])
    if turned:
        square, triangle = square[::-1], triangle[::-1]
    expected = np.zeros((12, 12), bool)
    expected[2:9, 2:9] = True
    np.testing.assert_array_equal(filled([square], (12, 12)), expected)
    i, j = np.indices((12, 12))
    np.testing.assert_array_equal(filled([triangle], (12, 12)), (i >= 1) & (j >= 1) & (i + j <= 8))
    np.testing.assert_array_equal(filled([np.array([(3.0, 4), (3, 9)])], (12, 12)), (i == 3) & (j >= 4) & (j <= 9))
    assert filled([np.array([(3.004, 4)])], (12, 12)).sum() == 1
    assert not filled([np.array([(3.02, 4)])], (12, 12)).any()


def test_names_of_regions_have_their_letters_and_empty_contours_are_none(tmp_path):
    import pydicom

    root = structures(tmp_path, ("GTV", [at(SQUARE, 3), at(SQUARE, 5)]))
    file = pydicom.dcmread(root / "labelsTr" / "a.dcm")
    file.SpecificCharacterSet, file.StructureSetROISequence[0].ROIName = "ISO_IR 100", "Rückenmark"
    file.ROIContourSequence[0].ContourSequence[1].ContourData = None
    file.save_as(root / "labelsTr" / "a.dcm")
    assert folder(root).class_names == ("Rückenmark",)
    assert mask_of(root).sum((0, 1)).tolist() == [0, 0, 0, 49, 0, 0, 0, 0]


@pytest.mark.parametrize("form", ["inner contour", "keyhole"])
def test_a_square_with_a_hole(tmp_path, form):
    hole = np.array([(4, 4), (6, 4), (6, 6), (4, 6)]) - 0.5
    channel = np.vstack([SQUARE, SQUARE[:1], hole, hole[:1]])
    drawn = [at(SQUARE, 3), at(hole, 3)] if form == "inner contour" else [at(channel, 3)]
    mask = mask_of(structures(tmp_path, ("GTV", drawn)))
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:9, 2:9, 3] = 1
    expected[4:6, 4:6, 3] = 0
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.filterwarnings("ignore:The value for the data element")  # of more than 64 KiB
@pytest.mark.parametrize(("affine", "radius"), [(PLAIN, 4.0), (TILTED, 4.13), (SAGITTAL, 3.1), (SHEARED, 3.94)])
def test_a_disc_has_the_voxels_whose_centers_it_covers(tmp_path, affine, radius):
    """Compared with the distance of every voxel center from the middle, in millimeters."""
    turns = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    lps = LPS @ affine
    middle = lps @ [11.3, 9.6, 5, 1]
    directions = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    disc = middle[:3] + radius * np.column_stack([np.cos(turns), np.sin(turns)]) @ directions.T
    root = structures(tmp_path, ("disc", [disc]), affine=affine)
    centers = nib.affines.apply_affine(lps, np.stack(np.indices(SHAPE), -1))
    expected = (np.linalg.norm(centers - middle[:3], axis=-1) < radius) & (np.indices(SHAPE)[2] == 5)
    assert expected.sum() > 70
    write_pair(tmp_path / "nifti", "a", image(), expected.astype(np.uint8), affine)
    np.testing.assert_array_equal(folder(root).load("a").mask, folder(tmp_path / "nifti").load("a").mask)


@pytest.mark.parametrize("affine", [PLAIN, TILTED, SAGITTAL])
@pytest.mark.parametrize("pairing", ["names", "list", "nifti image"])
def test_masks_survive_as_contours(tmp_path, affine, pairing):
    """Random blobs with holes and islands, several per slice, of two organs that do not meet."""
    rng = np.random.default_rng(1)
    blobs = np.zeros(SHAPE, bool)
    blobs[1:-1, 1:-1] = rng.random((SHAPE[0] - 2, SHAPE[1] - 2, SHAPE[2])) > 0.4
    organs = {"left lung": blobs.copy(), "right/lung": blobs.copy()}
    organs["left lung"][12:], organs["right/lung"][:12] = False, False
    root = structures(tmp_path, *((name, outlines(mask, affine)) for name, mask in organs.items()), affine=affine)
    truth = organs["left lung"] + 2 * organs["right/lung"].astype(np.uint8)
    write_pair(tmp_path / "nifti", "a", image(), truth, affine)
    if pairing == "list":
        (root / "list.csv").write_text(
            "image,mask:left lung,mask:right/lung\nimagesTr/a,labelsTr/a.dcm,labelsTr/a.dcm\n"
        )
        root = root / "list.csv"
    elif pairing == "nifti image":
        (root / "list.csv").write_text("image,mask\nnifti/imagesTr/a.nii.gz,labelsTr/a.dcm\n")
        root = root / "list.csv"
    data = folder(root)
    assert data.class_names == ("left lung", "right/lung")
    assert list(data.problems()) == []
    expected = prepare(folder(tmp_path / "nifti", classes={"left": 1, "right": 2}))
    np.testing.assert_array_equal(prepare(data).masks, expected.masks)


def test_contours_that_are_equal_count_once_and_planes_are_rounded_to_the_nearest_slice(tmp_path):
    root = structures(tmp_path, ("GTV", [at(SQUARE, 3.4), at(SQUARE, 3.4), at(SQUARE + 3, 3.45), at(SQUARE, 6.6)]))
    mask = mask_of(root)
    assert mask.sum((0, 1)).tolist() == [0, 0, 0, 2 * 49 - 2 * 16, 0, 0, 0, 49]


FAULTS = {
    "off the slices": (
        [at(SQUARE, 3), at(SQUARE, 7.6), at(SQUARE, 9)],
        "the contours of ROI 'GTV' of '{mask}' must lie within half a slice of the image, 2 of 3 lie up to 6 mm beyond "
        "its first or last slice: give the image that they were drawn on in place of '{image}'",
    ),
    "two planes in a slice": (
        [at(SQUARE, 3.2), at(SQUARE, 2.8)],
        "the contours of ROI 'GTV' of '{mask}' must lie in one plane for every slice of the image, planes 8.4 and 9.6 "
        "mm from its first slice have the same one: give the image that they were drawn on in place of '{image}'",
    ),
    "across the slices": (
        [at(SQUARE, 3) + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1.5], [0, 0, 1.5]])],
        "the contours of ROI 'GTV' of '{mask}' must lie in slices of the image, they reach through up to 1.5 mm across "
        "them: give the image that they were drawn on in place of '{image}'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_contours_that_do_not_lie_on_slices_are_one_sentence(tmp_path, fault):
    contours, sentence = FAULTS[fault]
    root = structures(tmp_path, ("GTV", contours))
    places = {"mask": root / "labelsTr" / "a.dcm", "image": root / "imagesTr" / "a"}
    with pytest.raises(DataError) as rejected:
        folder(root).load("a")
    assert str(rejected.value) == sentence.format(**places)


@pytest.mark.parametrize("tag", ["series", "frame"])
def test_a_structure_set_of_another_series_is_one_sentence(tmp_path, tag):
    other = write_dicom(tmp_path / "other", image(), PLAIN, series="9.9")
    root = structures(tmp_path / "set", ("GTV", [at(SQUARE, 3)]))
    mask, shown = root / "labelsTr" / "a.dcm", root / "imagesTr" / "a"
    remedy = "pair it with the image that it was drawn on, or set data.mask_grid=image if only its references are wrong"
    if tag == "series":
        write_structures(mask, other, [("GTV", [at(SQUARE, 3)])])
        sentence = f"'{mask}' must be drawn on the series of its image, '{shown}' is 1.2.3 and it names 9.9: {remedy}"
    else:
        import pydicom

        file = pydicom.dcmread(mask)
        frame = file.FrameOfReferenceUID
        file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "7.7"
        file.save_as(mask)
        sentence = (
            f"ROI 'GTV' of '{mask}' must be in the frame of reference of its image, '{shown}' has {frame} and it 7.7: "
            f"{remedy}"
        )
    with pytest.raises(DataError) as rejected:
        folder(root).load("a")
    assert str(rejected.value) == sentence
    assert folder(root, mask_grid="image").load("a").mask.sum() == 49


def test_regions_without_closed_contours_are_left_out_and_told(tmp_path):
    import pydicom

    root = structures(tmp_path, ("GTV", [at(SQUARE, 3)]), ("iso", [at(SQUARE[:1], 3)]), ("not drawn", []))
    mask = root / "labelsTr" / "a.dcm"
    file = pydicom.dcmread(mask)
    file.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "POINT"
    del file.ROIContourSequence[2]
    file.save_as(mask)
    data = folder(root)
    assert data.class_names == ("GTV",)
    assert data.cautions() == (
        "ROIs and contours that enclose nothing are left out: 'iso' (POINT, in 1 file), 'not drawn' (no contours, in 1 "
        "file)",
    )
    with pytest.raises(ConfigError, match=r"data.organs must be organs with masks, 'iso' has none: choose from GTV"):
        folder(root, organs=("iso",)).load("a")
    del file.ROIContourSequence[0]
    file.save_as(mask)
    with pytest.raises(DataError) as rejected:
        folder(root).load("a")
    assert str(rejected.value) == (
        f"'{mask}' must have a ROI with closed contours, it has none: draw one, or leave the structure set out"
    )


def test_regions_that_overlap_are_told_with_their_voxels(tmp_path):
    root = structures(tmp_path, ("body", [at(SQUARE, 3)]), ("GTV", [at(SQUARE + 4, 3)]))
    with pytest.raises(DataError) as rejected:
        folder(root).load("a")
    assert str(rejected.value) == (
        f"a voxel must have one organ, 9 voxels of '{root}/imagesTr/a' are in 'body' and 'GTV': choose organs with "
        "data.organs, or set data.overlap=first to give them the first in data.organs"
    )
    first = folder(root, overlap="first", organs=("GTV", "body"))
    assert np.bincount(first.load("a").mask.ravel())[1:].tolist() == [49, 40]
    assert folder(root, organs=("GTV",)).load("a").mask.sum() == 49


def test_regions_of_one_name_and_names_that_a_list_invents_are_one_sentence(tmp_path):
    root = structures(tmp_path, ("GTV", [at(SQUARE, 3)]), ("GTV", [at(SQUARE, 4)]), ("cord", [at(SQUARE, 5)]))
    mask = root / "labelsTr" / "a.dcm"
    with pytest.raises(DataError) as rejected:
        folder(root).load("a")
    assert str(rejected.value) == (
        f"'{mask}' must have one ROI 'GTV', it has 2 ROIs of this name: choose from 'GTV', 'GTV', 'cord' with "
        "data.organs, or name others in a list"
    )
    assert folder(root, organs=("cord",)).load("a").mask.sum() == 49
    (root / "list.csv").write_text("image,mask:spleen\nimagesTr/a,labelsTr/a.dcm\n")
    with pytest.raises(DataError, match=r"a.dcm' must have one ROI 'spleen', it has none of this name: choose from"):
        folder(root / "list.csv").load("a")


def test_a_number_that_is_none_and_a_cut_file_are_one_sentence(tmp_path):
    mask = structures(tmp_path, ("GTV", [at(SQUARE, 3)])) / "labelsTr" / "a.dcm"
    content = mask.read_bytes()
    mask.write_bytes(content.replace(b"14.5", b"14.x"))
    with pytest.raises(DataError, match=r"a.dcm' must be a readable DICOM file, it is not \(could not convert string"):
        folder(tmp_path).load("a")
    mask.write_bytes(content.replace(b"14.5", b"nan "))
    with pytest.raises(
        DataError, match=r"a.dcm' must be a readable DICOM file, it is not \(a contour has numbers that"
    ):
        folder(tmp_path).load("a")
    mask.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a.dcm' must "):
        folder(tmp_path).load("a")


def test_contours_of_an_image_that_cannot_be_read_are_told_beside_it(tmp_path):
    root = structures(tmp_path, ("GTV", [at(SQUARE, 3)]))
    next((root / "imagesTr" / "a").iterdir()).write_bytes(b"no DICOM")
    found = [problem.sentence for problem in folder(root).problems() if problem.serious]
    assert len(found) == 2
    assert "must be a readable DICOM file" in found[0]
    assert found[1] == (
        f"contours must have an image that they lie on, that of '{root}/labelsTr/a.dcm' cannot be read: repair it first"
    )


def test_a_structure_set_is_no_image(tmp_path):
    structures(tmp_path, ("GTV", [at(SQUARE, 3)]))
    (tmp_path / "list.csv").write_text("image,mask\nlabelsTr/a.dcm,labelsTr/a.dcm\n")
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "list.csv").load("a")
    assert str(rejected.value) == (
        f"'{tmp_path}/labelsTr/a.dcm' must hold an image, an RTSTRUCT holds contours: give it as a mask, with the "
        "folder of its series as the image"
    )


def test_structure_sets_at_the_command_line(tmp_path):
    for name in "abcdef":
        series = write_dicom(tmp_path / "imagesTr" / name, image() + ord(name), PLAIN)
        regions = [("GTV", [at(SQUARE, k) for k in range(2, 6)]), ("PTV", [at(SQUARE + np.array([10, 5]), 3)])]
        write_structures(tmp_path / "labelsTr" / f"{name}.dcm", series, regions)
    code, output = invoke("data", "check", tmp_path)
    assert code == 0, output
    code, output = invoke("data", "list-files", tmp_path)
    assert code == 0
    assert "image,mask,patient" in output
    code, output = invoke(
        "data", "info", "folder", "--data-root", tmp_path, "--set", "data.organs=[PTV]", "--sheet", tmp_path / "a.png"
    )
    assert code == 0, output
    assert "PTV" in output
