"""The worklist, its page, and the classes as ITK-SNAP and 3D Slicer read them."""

import base64
import csv
import io
import itertools
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread
from support.orientations import CODES, ORIENTATIONS, RAS, saved_as

from albench.annotation import Asked, Reason, Task, worklist_csv, write_worklist, write_worklist_page
from albench.annotation.label_colors import color_of, itk_snap_labels, slicer_colors
from albench.annotation.worklist import COLUMNS, by_rank, is_oblique, places
from albench.annotation.worklist_page import thumbnail
from albench.data import AXES, Axis, FileGrid
from albench.errors import DataError, StoreError

SHAPE = (6, 7, 5)


def task(name: str = "a", positions: tuple[int, ...] = (4, 1), first: int = 1, **changed: object) -> Task:
    grid = FileGrid(Path(f"{name}.nii.gz"), SHAPE, RAS, "axial")
    reasons = {position: Reason(first + number, 0.5 / (number + 1)) for number, position in enumerate(positions)}
    asked = Asked(name, grid, positions)
    return Task(**{"asked": asked, "label_file": f"{name}.nii.gz", "reasons": reasons} | changed)


def slicer_slice_to_ras(grid: FileGrid, axis: Axis, voxel: np.ndarray) -> np.ndarray:
    """SliceToRAS of a view of 3D Slicer through a voxel; columns are right, up and toward the viewer in the view."""
    made = np.eye(4)
    made[:3, :3] = {  # vtkMRMLSliceNode::InitializeAxialMatrix, ...CoronalMatrix, ...SagittalMatrix
        "axial": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "coronal": [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
        "sagittal": [[0, 0, 1], [-1, 0, 0], [0, 1, 0]],
    }[axis]
    made[:3, 3] = nib.affines.apply_affine(grid.affine, voxel)
    return made


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=CODES)
def test_places_are_those_of_both_tools(orientation, axis: Axis):
    sitk = pytest.importorskip("SimpleITK")
    body = np.moveaxis(np.indices(SHAPE), 0, -1)[..., AXES.index(axis)]
    values, affine = saved_as(body, orientation)
    grid = FileGrid(Path("a.nii.gz"), values.shape, affine, axis)
    across = AXES.index(axis)
    depth = SHAPE[across]
    reasons = {position: Reason(depth - position) for position in range(depth)}
    found = places(Task(Asked("a", grid, tuple(range(depth))), "a.nii.gz", reasons))
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0).astype(np.int16))  # ITK-SNAP shows ITK's index plus 1
    assert [place.slicer for place in found] == list(range(depth))
    for place in found:
        dimension = "ijk".index(place.dimension)
        index = [0, 0, 0]
        index[dimension] = place.snap - 1
        # slices go from right to left and from front to back, but from the bottom to the top
        assert image.GetPixel(index) == (place.position if axis == "axial" else depth - 1 - place.position)
        index[dimension] = place.slicer
        view = slicer_slice_to_ras(grid, axis, np.array(index))
        turned = view.copy()
        turned[:3, 3] = 0
        offset = (np.linalg.inv(turned) @ view[:, 3])[2]  # vtkMRMLSliceNode::GetSliceOffset
        assert place.offset == pytest.approx(offset, abs=1e-3)
        assert place.center[across] == pytest.approx(offset, abs=1e-3)
    assert not is_oblique(grid)


def test_the_offset_of_an_oblique_slice_is_along_its_normal():
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, 0.8, 1.8], [0, -0.6, 2.4]]  # 37 degrees about x, slices 3 mm apart
    grid = FileGrid(Path("a.nii.gz"), SHAPE, affine, "axial")
    asked = Asked("a", grid, (0, 2))
    found = places(Task(asked, "a.nii.gz", {0: Reason(1), 2: Reason(2)}))
    assert is_oblique(grid)
    assert [place.offset for place in found] == [0, 6]


def test_volumes_are_in_the_order_in_which_they_are_wanted_and_slices_in_that_of_the_file():
    tasks = [task("b", (4, 1), 4), task("a", (2, 3, 0), 1), task("c", ())]
    assert [one.asked.case for one in by_rank(tasks)] == ["a", "b"]
    rows = list(csv.DictReader(io.StringIO(worklist_csv(tasks))))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["volume"], row["index_3d_slicer"], row["rank"]) for row in rows] == [
        *(("a", "0", "3"), ("a", "2", "1"), ("a", "3", "2")),
        *(("b", "1", "5"), ("b", "4", "4")),
    ]


def test_a_row_of_the_worklist_says_where_a_slice_is_and_why():
    assert worklist_csv([task()]).splitlines() == [
        "volume,label_file,axis,dimension,index_3d_slicer,index_itk_snap,offset_3d_slicer_mm,right_mm,front_mm,up_mm,"
        "rank,score,suggestion,image",
        f"a,a.nii.gz,axial,k,1,2,9.75,-29.25,15.8,9.75,2,0.25,no,{Path('a.nii.gz').resolve()}",
        f"a,a.nii.gz,axial,k,4,5,17.25,-29.25,15.8,17.25,1,0.5,no,{Path('a.nii.gz').resolve()}",
    ]
    suggested = Asked("a", task().asked.grid, (1,), {1: np.zeros((7, 6), np.uint8)})
    (row,) = csv.DictReader(io.StringIO(worklist_csv([task(asked=suggested, reasons={1: Reason(1)})])))
    assert (row["score"], row["suggestion"]) == ("", "yes")


def test_every_slice_needs_a_reason():
    with pytest.raises(DataError) as error:
        task(reasons={4: Reason(1)})
    assert str(error.value) == (
        "a worklist must tell why slices are asked for, those at [1] of 'a' have no rank: give one to each"
    )


def read_itk_snap(text: str) -> dict[int, tuple[object, ...]]:
    """As `ColorLabelTable::LoadFromFile` of ITK-SNAP does it."""
    found: dict[int, tuple[object, ...]] = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        *numbers, rest = line.split(maxsplit=7)
        index, red, green, blue = map(int, numbers[:4])
        name = rest[rest.index('"') + 1 :]
        found[index] = (red, green, blue, float(numbers[4]), *map(int, numbers[5:]), name[: name.index('"')])
    return found


def read_ctbl(text: str) -> dict[int, tuple[object, ...]]:
    """As `vtkMRMLColorTableStorageNode::ReadCtblFile` of 3D Slicer does it."""
    found: dict[int, tuple[object, ...]] = {}
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            index, name, *color = line.split()
            found[int(index)] = (name.replace("_", " "), *map(float, color))
    return found


def test_itk_snap_reads_the_classes():
    labels = read_itk_snap(itk_snap_labels(["liver", 'left "big"  tumor']))
    assert labels == {
        0: (0, 0, 0, 0.0, 0, 0, "background"),
        1: (*color_of(1), 1.0, 1, 1, "liver"),
        2: (*color_of(2), 1.0, 1, 1, "left 'big' tumor"),
        255: (128, 128, 128, 0.15, 1, 0, "not asked for"),
    }


def test_3d_slicer_reads_the_classes():
    assert read_ctbl(slicer_colors(["liver", "left tumor"])) == {
        0: ("background", 0, 0, 0, 0),
        1: ("liver", *color_of(1), 255),
        2: ("left tumor", *color_of(2), 255),
        255: ("not asked for", 128, 128, 128, 38),
    }


def test_neighboring_classes_have_different_colors():
    colors = [color_of(label) for label in range(1, 33)]
    assert all(one != other for one, other in itertools.pairwise(colors))
    assert len(set(colors[:7])) == 7


def test_the_worklist_and_the_classes_are_files(tmp_path):
    write_worklist(tmp_path, [task()], ["liver"])
    assert (tmp_path / "worklist.csv").read_text() == worklist_csv([task()])
    assert (tmp_path / "labels-itk-snap.txt").read_text() == itk_snap_labels(["liver"])
    assert (tmp_path / "labels-3d-slicer.ctbl").read_text() == slicer_colors(["liver"])
    write_worklist(tmp_path, [task()], ["liver"])
    with pytest.raises(StoreError, match=r"is never overwritten, '.*worklist.csv' has other"):
        write_worklist(tmp_path, [task(positions=(1,))], ["liver"])


def test_the_page_shows_every_slice_in_the_proportions_of_the_body_and_needs_no_network(tmp_path):
    images = {"<b>a": {1: np.random.default_rng(0).normal(size=(7, 6)), 4: np.ones((7, 6), np.float16)}}
    suggestion = np.zeros((7, 6), np.uint8)
    suggestion[2:5, 1:4] = 1
    asked = Asked("<b>a", task().asked.grid, (4, 1), {4: suggestion})
    write_worklist_page(
        *(tmp_path / "worklist.html", [task(asked=asked)], images, ["liver & co"]), title="Round 2", about="By STAR."
    )
    page = (tmp_path / "worklist.html").read_text()
    assert "<b>a" not in page
    assert "&lt;b&gt;a" in page
    assert "1 liver &amp; co" in page
    assert "2 slices in 1" in page
    assert "Outlines are suggestions" in page
    assert "http" not in page.replace("http-equiv", "")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" width="(\d+)" height="(\d+)"', page)
    assert [(int(width), int(height)) for _, width, height in pictures] == 2 * [(round(150 * 4.2 / 7.7), 150)]
    shown = [imread(io.BytesIO(base64.b64decode(content))) for content, *_ in pictures]
    assert [picture.shape[:2] for picture in shown] == [(7, 6), (7, 6)]
    outlined = np.all(np.rint(255 * shown[1][..., :3]) == color_of(1), axis=-1)
    assert np.count_nonzero(outlined) == 8
    assert not outlined[3, 2]
    assert re.findall(r"<strong>k = (\d)</strong>,\n([\d.]+) mm<br>ITK-SNAP (\d)", page) == [
        ("1", "9.8", "2"),
        ("4", "17.2", "5"),
    ]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.7, 0.2), "The slice with the highest score is asked for first."),
        ((0.2, 0.7), "The slice with the lowest score is asked for first."),
        ((0.2, 0.7, 0.5), "The strategy does not ask by the score alone."),
        ((0.5, 0.5), ""),
        ((0.5, None), ""),
    ],
)
def test_the_page_says_which_end_of_the_score_is_asked_first(tmp_path, scores, said):
    positions = tuple(reversed(range(len(scores))))
    reasons = {i: Reason(rank, score) for rank, (i, score) in enumerate(zip(positions, scores, strict=True), 1)}
    images = {"a": {i: np.ones((7, 6)) for i in positions}}
    tasks = [task(positions=positions, reasons=reasons)]
    write_worklist_page(tmp_path / "w.html", tasks, images, ["liver"], title="x")
    page = " ".join((tmp_path / "w.html").read_text().split())
    assert f"rank 1 is the slice that is wanted most.{' ' * bool(said)}{said}</p>" in page


def test_every_slice_on_the_page_needs_an_image(tmp_path):
    with pytest.raises(DataError) as error:
        write_worklist_page(tmp_path / "w.html", [task()], {"a": {1: np.ones((7, 6))}}, ["liver"], title="x")
    assert str(error.value) == ("every slice of a worklist must have an image, 'a' has none at [4]: read them")
    assert not (tmp_path / "w.html").exists()


def test_thumbnails_of_large_slices_are_small_and_show_suggestions_on_any_grid():
    suggestion = np.zeros((100, 100), np.uint8)
    suggestion[:50] = 2
    picture = thumbnail(np.zeros((1000, 700)), suggestion)
    assert picture.shape == (250, 175, 3)
    at = np.all(picture == color_of(2), axis=-1)
    assert at[[0, 124]].all()
    assert at[:125, [0, -1]].all()
    assert np.count_nonzero(at) == 2 * (125 + 175) - 4
    assert not np.isnan(thumbnail(np.full((4, 4), np.nan))).any()
