"""The axis that volumes are cut along, on files as people have them."""

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console
from support.samples import invoke, tiny_training_arguments, write_pair
from support.slow import slow_but

from albench.data import prepare
from albench.data.prepared import content_key
from albench.datasets._slice_axis import Grid, decide
from albench.metrics import score_case
from albench.registry import DATASETS, find
from albench.resolve import resolve

PSL = np.array([[0, 0, -8.0, 0], [-1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
ASR = np.array([[0, 0, 8.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=400))  # a sentence is not wrapped
    monkeypatch.chdir(tmp_path)


def write(root: Path, shape: tuple[int, ...], affine: np.ndarray, *names: str) -> None:
    """Cases with a box in the middle."""
    rng = np.random.default_rng(len(names[0]))
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(side // 4, side - side // 4) if side > 2 else slice(None) for side in shape)] = 1
    for name in names:
        write_pair(root, name, (rng.normal(100, 20, shape) + 60 * mask).astype(np.int16), mask, affine)


def folder(root: Path, **options: object):
    return find(DATASETS, "folder")(root=str(root), **options)


def turned(spacing: tuple[float, float, float], degrees: float, plane: tuple[int, int]) -> np.ndarray:
    """An oblique affine: the axes of the file rotated in a plane of the body."""
    angle, (one, other), turn = np.deg2rad(degrees), plane, np.eye(4)
    turn[one, one] = turn[other, other] = np.cos(angle)
    turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
    return turn @ np.diag([*spacing, 1.0])


@pytest.mark.parametrize(
    ("shape", "affine", "axis", "counts", "spacing"),
    [
        ((6, 40, 40), np.diag([4, 0.7, 0.7, 1]), "sagittal", (6, 40, 40), (4, 0.7, 0.7)),
        ((40, 6, 44), np.diag([0.7, 4, 0.6, 1]), "coronal", (6, 44, 40), (4, 0.6, 0.7)),
        ((40, 44, 6), np.diag([0.7, 0.6, 4, 1]), "axial", (6, 44, 40), (4, 0.6, 0.7)),
        ((64, 60, 8), PSL, "sagittal", (8, 60, 64), (8, 1, 1)),
        ((64, 60, 8), ASR, "sagittal", (8, 60, 64), (8, 1, 1)),
        ((6, 40, 44), np.diag([-4, -0.7, -0.6, 1]), "sagittal", (6, 44, 40), (4, 0.6, 0.7)),
        ((6, 40, 44), turned((4, 0.7, 0.6), 20, (0, 1)), "sagittal", (6, 44, 40), (4, 0.6, 0.7)),
        ((40, 6, 44), turned((0.7, 4, 0.6), -20, (1, 2)), "coronal", (6, 44, 40), (4, 0.6, 0.7)),
        ((20, 22, 24), np.eye(4), "axial", (24, 22, 20), (1, 1, 1)),
        ((20, 22, 24), np.diag([1.09, 1, 1, 1]), "axial", (24, 22, 20), (1, 1, 1.09)),
        ((20, 22, 24), np.diag([1.1, 1, 1, 1]), "axial", (24, 22, 20), (1, 1, 1.1)),
        ((20, 22, 24), np.diag([1.11, 1, 1, 1]), "sagittal", (20, 24, 22), (1.11, 1, 1)),
        ((20, 22, 24), np.diag([3, 1, 3, 1]), "axial", (24, 22, 20), (3, 1, 3)),
        ((20, 22, 24), np.diag([3, 3, 1, 1]), "axial", (24, 22, 20), (1, 3, 3)),
        ((1, 40, 44), np.eye(4), "sagittal", (1, 44, 40), (1, 1, 1)),
        ((40, 1, 44), np.diag([2, 1, 1, 1]), "coronal", (1, 44, 40), (1, 1, 2)),
        ((40, 44), np.diag([0.7, 0.6, 1, 1]), "axial", (1, 44, 40), (1, 0.6, 0.7)),
    ],
)
def test_volumes_are_cut_along_the_axis_of_their_largest_spacing(tmp_path, shape, affine, axis, counts, spacing):
    write(tmp_path / "set", shape, affine, "a", "b", "c")
    data = folder(tmp_path / "set")
    assert data.decided() == {"axis": axis}
    assert data.load("a").mask.shape == counts
    assert data.load("a").spacing == pytest.approx(spacing)
    prepared = prepare(data)
    assert prepared.counts.tolist() == 3 * [counts[0]]
    assert prepared.valid.tolist() == 3 * [list(counts[1:])]
    assert content_key(data) == content_key(folder(tmp_path / "set", axis=axis))


@pytest.mark.parametrize(("unit", "factor"), [(1, 1e-3), (2, 1.0), (3, 1e3)])
def test_units_do_not_change_the_axis(tmp_path, unit, factor):
    affine = np.diag([0.5 * factor, 3 * factor, 0.5 * factor, 1])
    write(tmp_path / "set", (24, 8, 24), affine, "a", "b", "c")
    for path in tmp_path.glob("set/*/*.nii.gz"):
        image = nib.load(path)
        changed = nib.Nifti1Image(np.asarray(image.dataobj), affine)
        changed.header["xyzt_units"] = unit
        nib.save(changed, path)
    data = folder(tmp_path / "set")
    assert data.decided() == {"axis": "coronal"}
    assert data.load("a").spacing == pytest.approx((3, 0.5, 0.5))


def test_hd95_is_in_millimeters_along_the_axes_of_the_body(tmp_path):
    write(tmp_path / "set", (64, 60, 8), PSL, "a", "b", "c")
    volume = folder(tmp_path / "set").load("a")
    truth = np.zeros_like(volume.mask)
    truth[2:6, 20:40, 20:40] = 1
    for shift, millimeters in ((1, 8.0), (2, 3.0)):
        prediction = np.roll(truth, shift if shift == 1 else 3, 0 if shift == 1 else 1)
        assert score_case(prediction, truth, volume.spacing, 1.0).all.hd95 == pytest.approx(millimeters)


@pytest.mark.parametrize(("axis", "shape"), [("axial", (40, 40, 6)), ("coronal", (40, 40, 6))])
def test_an_axis_of_the_user_is_taken_as_it_is(tmp_path, axis, shape):
    write(tmp_path / "set", (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), "a", "b", "c")
    data = folder(tmp_path / "set", axis=axis)
    assert data.decided() == {}
    assert data.load("a").mask.shape == shape
    assert data.notes() == [
        f"the slices of 3 of 3 volumes are {axis} although their largest spacing is not along that axis, 'a', 'b', "
        "'c': choose the axis of all with data.axis, or leave these out"
    ]


def test_a_list_can_set_the_axis_or_leave_it_to_the_spacing(tmp_path):
    write(tmp_path, (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), "a")
    rows = "volumes:\n  - {image: imagesTr/a.nii.gz, mask: labelsTr/a.nii.gz}\n"
    for first, axis in (("", "sagittal"), ("axis: auto\n", "sagittal"), ("axis: coronal\n", "coronal")):
        (tmp_path / "list.yaml").write_text(first + rows)
        assert dict(folder(tmp_path / "list.yaml").decided()).get("axis", "coronal") == axis


def test_the_axis_is_told_by_info_and_recorded_by_a_run(tmp_path):
    write(tmp_path / "set", (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), *"abcdef")
    code, told = invoke("data", "info", "folder", "--data-root", tmp_path / "set")
    assert code == 0
    assert "slices sagittal, 36, 6 per case" in told
    assert "slices are sagittal, because 6 of 6 volumes are thickest that way: data.axis overrides it" in told
    arguments = tiny_training_arguments(protocol__split="[4,1,1]", protocol__budget=3)
    code, text = invoke(
        *("run", "--strategy", "random", "--dataset", "folder", "--data-root", tmp_path / "set"),
        *("--out", tmp_path / "runs", *arguments),
    )
    assert code == 0, text
    (config,) = tmp_path.glob("runs/*/*/*/config.json")
    assert json.loads(config.read_text())["run"]["dataset"]["options"]["axis"] == "sagittal"


def test_a_decided_and_a_given_axis_are_the_same_run(tmp_path):
    write(tmp_path / "set", (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), *"abc")
    settings = {"data.root": str(tmp_path / "set"), "protocol.split": [1, 1, 1]}
    decided, given = (
        resolve("random", "folder", settings=settings | more).config for more in ({}, {"data.axis": "sagittal"})
    )
    assert decided == given
    assert decided.digest() == given.digest()


def test_volumes_with_another_thick_axis_are_named(tmp_path):
    write(tmp_path / "set", (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), "a", "b", "c")
    write(tmp_path / "set", (40, 40, 6), np.diag([0.7, 0.7, 4, 1]), "deep")
    write(tmp_path / "set", (20, 20, 20), np.eye(4), "cube")
    data = folder(tmp_path / "set")
    assert data.decided() == {"axis": "sagittal"}
    assert data.notes() == [
        "slices are sagittal, because 3 of 5 volumes are thickest that way: data.axis overrides it",
        "the slices of 1 of 5 volumes are sagittal although their largest spacing is not along that axis, 'deep': "
        "choose the axis of all with data.axis, or leave these out",
    ]
    (warning,) = [problem for problem in data.problems() if "largest spacing" in problem.sentence]
    file = tmp_path / "set" / "imagesTr" / "deep.nii.gz"
    assert (warning.file, warning.serious) == (str(file), False)
    assert warning.sentence == (
        f"a volume should be cut along its largest spacing, '{file}' has sagittal 0.7, coronal 0.7, axial 4 mm and its "
        "slices are sagittal: set data.axis=axial for all volumes, or leave it out"
    )


def test_a_file_whose_header_cannot_be_read_does_not_hide_the_axis_of_the_others(tmp_path):
    write(tmp_path / "set", (6, 40, 40), np.diag([4, 0.7, 0.7, 1]), "a", "b", "c")
    (tmp_path / "set" / "imagesTr" / "a.nii.gz").write_bytes(b"hello")
    data = folder(tmp_path / "set")
    assert data.decided() == {"axis": "sagittal"}
    assert [problem.sentence for problem in data.problems() if problem.serious] == [
        problem.sentence for problem in folder(tmp_path / "set", axis="sagittal").problems() if problem.serious
    ]


@pytest.mark.parametrize(
    ("thick", "axis"),
    [
        ("sss", "sagittal"),
        ("ssc", "sagittal"),
        ("sc", "axial"),
        ("sccs", "axial"),
        ("saa", "axial"),
        ("ii", "axial"),
        ("sii", "axial"),
        ("ssi", "sagittal"),
        ("ssccai", "axial"),
        ("sssccai", "sagittal"),
        ("", "axial"),
    ],
)
def test_most_volumes_decide_and_undecided_ones_count_as_axial(thick, axis):
    spacings = {"s": (3.0, 1.0, 1.0), "c": (1.0, 3.0, 1.0), "a": (1.0, 1.0, 3.0), "i": (1.0, 1.0, 1.0)}
    assert decide(Grid((9, 9, 9), spacings[kind]) for kind in thick) == axis


@pytest.mark.parametrize("name", ["brats", "spleen", "hippocampus", "prostate"])
def test_datasets_with_a_protocol_state_their_axis(name):
    assert find(DATASETS, name)().axis == "axial"


@pytest.mark.parametrize("shape", [(40, 44), (40, 44, 1), (1, 40, 44)])
def test_a_set_of_single_slices_is_told_so(tmp_path, shape):
    write(tmp_path / "set", shape, np.eye(4), *"abcd")
    sentence = (
        "every volume has one slice, 'a', 'b', 'c' and 1 more, so that there is nothing to ask between slices: choose "
        "a strategy that needs no neighbors, such as entropy, and leave data.context at 0, because it would repeat the "
        "slice itself"
    )
    assert sentence in invoke("data", "info", "folder", "--data-root", tmp_path / "set")[1]
    code, told = invoke("data", "check", tmp_path / "set")
    assert code == 0
    assert f"{sentence} warning" in told


def test_single_slices_among_volumes_are_named(tmp_path):
    write(tmp_path / "set", (40, 44, 6), np.diag([1, 1, 4, 1]), "a", "b")
    write(tmp_path / "set", (40, 44), np.eye(4), "flat")
    (note,) = folder(tmp_path / "set").notes()
    assert note.startswith("1 of 3 volumes have one slice, 'flat', so that there is nothing to ask between slices: ")


def test_a_flat_mask_fits_a_flat_image_with_or_without_depth(tmp_path):
    write(tmp_path / "set", (40, 44, 1), np.eye(4), "a")
    path = tmp_path / "set" / "labelsTr" / "a.nii.gz"
    mask = np.asarray(nib.load(path).dataobj)
    expected = folder(tmp_path / "set").load("a").mask
    nib.save(nib.Nifti1Image(mask[..., 0], np.eye(4)), path)
    np.testing.assert_array_equal(folder(tmp_path / "set").load("a").mask, expected)


@pytest.mark.parametrize(
    "strategy", slow_but(["k-center"], ["random", "entropy", "margin", "k-center", "stratified", "bald", "bal"])
)
def test_strategies_without_neighbors_run_on_single_slices(tmp_path, strategy):
    write(tmp_path / "set", (32, 32), np.eye(4), *"abcdefghijklmnop")
    code, told = invoke(*run_of(strategy, tmp_path))
    assert code == 0, told
    (records,) = tmp_path.glob("runs/*/*/*/rounds.jsonl")
    labeled = [json.loads(line)["labeled"] for line in records.read_text().splitlines()]
    assert labeled == [3, 6], "every fourth slice of all 12, and 3 more"


@pytest.mark.parametrize("strategy", ["star", "strided"])
def test_strategies_that_compare_neighbors_say_so_on_single_slices(tmp_path, strategy):
    write(tmp_path / "set", (32, 32), np.eye(4), *"abcdefghijklmnop")
    code, told = invoke(*run_of(strategy, tmp_path))
    assert code == 2
    assert told.endswith(
        f"strategy '{strategy}': volumes must have several slices to compare, every volume of the pool has one: choose "
        "a strategy that needs no neighbors, such as entropy"
    )


def run_of(strategy: str, root: Path) -> list[object]:
    """A tiny run on 12, 2 and 2 cases."""
    settings = tiny_training_arguments(protocol__split="[12,2,2]", protocol__interval=4, protocol__budget=3)
    place = ["--data-root", root / "set", "--out", root / "runs"]
    return ["run", "--strategy", strategy, "--dataset", "folder", *place, *settings]


@pytest.mark.parametrize("axis", ["sagittal", "coronal", "axial"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_positions_are_found_in_the_file_whatever_its_orientation(tmp_path, axis, order):
    """Against a file whose voxels hold the coordinate of their centers, read as any other."""
    shape = (5, 6, 7)
    for signs in itertools.product((1, -1), repeat=3):
        affine = np.eye(4)
        affine[:3, :3] = np.diag([2.0, 3.0, 4.0])[:, order] * signs
        affine[:3, 3] = (-11, 5, 40)
        centers = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
        along = ["sagittal", "coronal", "axial"].index(axis)
        write_pair(tmp_path / "set", "a", centers[..., along], np.ones(shape, np.uint8), affine)
        (case,) = folder(tmp_path / "set", axis=axis).cases()
        data = folder(tmp_path / "set", axis=axis)
        place, image = data.file_grid(case), data.load(case).image[0]
        assert np.array_equal(image, np.broadcast_to(place.millimeters[:, None, None], image.shape))
        assert (place.shape, place.affine.tolist()) == (shape, affine.tolist())
        filled = place.filled(np.arange(len(image)))
        write_pair(tmp_path / "filled", "a", filled.astype(np.float32), np.ones(shape, np.uint8), affine)
        again = folder(tmp_path / "filled", axis=axis).load("a").image[0]
        assert np.array_equal(again, np.broadcast_to(np.arange(len(image))[:, None, None], again.shape))


def test_millimeters_of_an_oblique_slice_are_those_of_its_center(tmp_path):
    affine = turned((0.7, 0.6, 4), 20, (1, 2))
    affine[:3, 3] = (1, 2, 3)
    write(tmp_path / "set", (40, 44, 6), affine, "a")
    place = folder(tmp_path / "set").file_grid("a")
    expected = [nib.affines.apply_affine(affine, (19.5, 21.5, z))[2] for z in range(6)]
    assert place.millimeters == pytest.approx(expected)


def test_slices_without_a_file_lie_as_axial_ones_do(tmp_path):
    """As those of a file with the grid that is told for them."""
    phantom = find(DATASETS, "phantom")(count=3, depth=8, side=32)
    case = phantom.cases()[0]
    place, volume = phantom.file_grid(case), phantom.load(case)
    write_pair(tmp_path / "set", "a", volume.image[0].transpose(2, 1, 0), volume.mask.transpose(2, 1, 0), place.affine)
    data = folder(tmp_path / "set", axis="axial")
    assert np.array_equal(data.load("a").image, volume.image)
    assert data.load("a").spacing == pytest.approx(volume.spacing)
    assert data.file_grid("a").indices.tolist() == place.indices.tolist()
    assert data.file_grid("a").shape == place.shape
