"""What `albench data info` says of labels, and the planes and colors of its picture."""

import json

import numpy as np
import pytest
from matplotlib.image import imread
from support.samples import invoke, write_pair

from albench.cli.contact_sheet import _chosen, _gray, contact_sheet
from albench.cli.dataset_summary import label_rows, numbers
from albench.data import prepare
from albench.registry import DATASETS, find

AXES = {"axial": 2, "coronal": 1, "sagittal": 0}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def organs(root, count=3):
    """Masks of the values 1, 2, 3 and 77, where only the last has 77, and a dataset.json."""
    for index in range(count):
        mask = np.zeros((20, 24, 8), np.uint8)
        mask[2:6, 2:6, 2:6], mask[8:12, 2:6, 2:4], mask[14:16, 14:16, 6] = 1, 2, 3
        if index == count - 1:
            mask[0, 0, 0] = 77
        image = np.random.default_rng(index).normal(100, 10, mask.shape).astype(np.float32)
        write_pair(root, f"c{index}", image, mask)
    return root


def test_every_value_of_the_files_is_told_with_what_it_means(tmp_path):
    root = organs(tmp_path / "set")
    data = folder(root, classes={"liver": (1, 2)}, unknown=77)
    rows = [row.cells() for row in label_rows(data, prepare(data))]
    rest = 3 * 3840 - 3 * 100 - 1
    assert rows == [
        ("liver", "1, 2", "288", "288", f"{288 / 11520:.2%}", "3 of 3"),
        ("background", "0", f"{rest:,}", f"{rest + 12:,}", f"{(rest + 12) / 11520:.2%}", "3 of 3"),
        ("background, left out by the options", "3", "12", "", "", "3 of 3"),
        ("unknown", "77", "1", "1", "0.01%", "1 of 3"),
    ]


def test_a_label_that_no_value_stands_for_has_pixels_only(tmp_path):
    data = folder(organs(tmp_path / "set"), labels=(1, 2, 3, 77), unknown="empty-slices")
    unknown = label_rows(data, prepare(data))[-1]
    empty = (3 + 3 + 2) * 480  # slices 0, 1 and 7 of the masks; the last has 77 in slice 0
    assert unknown.cells() == ("unknown", "", "", f"{empty:,}", f"{empty / 11520:.2%}", "")


def test_values_have_their_names_in_dataset_json(tmp_path):
    root = organs(tmp_path / "set", count=4)
    names = {"background": 0, "liver": 1, "spleen": 2, "cyst": 3, "odd": 77}
    (root / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz", "labels": names}))
    data = folder(root)
    first, second = label_rows(data, prepare(data))
    assert (first.name, first.values) == ("foreground", "1 liver, 2 spleen, 3 cyst, 77 odd")
    assert (second.name, second.values) == ("background", "0")
    output = invoke("data", "info", "folder", "--data-root", root)[1]
    note = "the 4 labels 'liver', 'spleen', 'cyst', 'odd' of dataset.json are one foreground: use --set data.target="
    assert note in output
    assert any(problem.sentence.startswith(note) and not problem.serious for problem in data.problems())
    assert invoke("data", "check", root)[0] == 0


def test_generated_data_have_their_classes(tmp_path):
    data = find(DATASETS, "phantom")(count=3, depth=8, side=32, parts=2)
    prepared = prepare(data)
    rows = {row.name: row for row in label_rows(data, prepared)}
    assert list(rows) == ["organ", "core", "background"]
    assert rows["core"].read == rows["core"].prepared == int((prepared.masks == 2).sum())
    assert "orientation of the files" not in numbers(data, prepared)["volumes"]


def test_visits_scaling_and_a_window_are_told(tmp_path):
    root = organs(tmp_path / "set", count=4)
    rows = [f"imagesTr/c{i}.nii.gz,labelsTr/c{i}.nii.gz,{'aab'[i]}" for i in range(3)]
    (root / "list.csv").write_text("\n".join(["image,mask,patient", *rows]))
    data = folder(root / "list.csv", labels=(1, 2), size=(32, 16), window=(-50.0, 200.0))
    facts = numbers(data, prepare(data))
    assert facts["volumes"]["cases"] == "3 of 2 patients, 1 to 2 (median 1.5) each"
    assert facts["preparation"]["intensities"].startswith("clipped to -50 to 200 (data.window), then")
    assert facts["preparation"]["scaled"] == "3 of 3 cases, to 1.263 x 1.25 mm per pixel (data.size)"


@pytest.mark.parametrize("axis", AXES)
def test_the_views_are_the_planes_of_the_body_whatever_the_axis(tmp_path, axis):
    """A bright voxel beside the foreground lies where it does in the body: right, front and top."""
    for index in range(2):
        mask = np.zeros((20, 24, 16), np.uint8)
        mask[4:14, 6:18, 3:12] = 1
        image = np.random.default_rng(index).normal(0, 1, mask.shape).astype(np.float32)
        image[17:, 20:, 13:] = 50  # to the right, in front, above, as RAS
        write_pair(tmp_path / "set", f"c{index}", image[::-1], mask[::-1], np.diag([-1.0, 1.0, 3.0, 1.0]))
    data = folder(tmp_path / "set", axis=axis, window=(-5.0, 50.0))
    shown = next(iter(_chosen(prepare(data), axis)))
    views = {view.title.split()[0]: view for view in shown.views}
    assert shown.views[0].title.startswith(axis)
    assert {name: view.mask.shape for name, view in views.items()} == {
        "axial": (24, 20),
        "coronal": (16, 20),
        "sagittal": (16, 24),
    }
    assert [view.spacing for view in (views["axial"], views["coronal"], views["sagittal"])] == [(1, 1), (3, 1), (3, 1)]
    # columns go to the left of the body and to the back, rows to the back and down
    area = {name: np.argwhere(view.mask) for name, view in views.items()}
    assert {name: (found.min(0).tolist(), found.max(0).tolist()) for name, found in area.items()} == {
        "axial": ([6, 6], [17, 15]),
        "coronal": ([4, 6], [12, 15]),
        "sagittal": ([4, 6], [12, 17]),
    }


def test_a_class_that_evenly_spaced_cases_do_not_show_has_a_case_of_its_own(tmp_path):
    for index in range(12):
        mask = np.zeros((20, 24, 8), np.uint8)
        mask[2:12, 2:12, 2:6] = 1
        if index == 3:  # which is not among the six
            mask[14:19, 14:19, 7] = 2
        write_pair(tmp_path / "set", f"c{index:02}", np.random.default_rng(index).normal(size=mask.shape), mask)
    prepared = prepare(folder(tmp_path / "set", classes={"large": 1, "rare": 2}))
    titles = [case.title for case in _chosen(prepared, "axial")]
    assert titles == ["c00", "c02", "c04", "c07", "c09", "c11", "c03, for rare"]
    contact_sheet(prepared, tmp_path / "sheet.png")
    pixels = imread(tmp_path / "sheet.png")[..., :3]
    blue = (np.abs(pixels - (0, 0.75, 1)).max(-1) < 0.2).any(1)
    height = len(pixels)
    assert not blue[: height * 7 // 10].any()
    assert blue[height * 7 // 10 : height * 9 // 10].any()


def test_what_is_around_a_class_of_one_intensity_stays_visible():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (6, 20, 20)).astype(np.float16)
    inside = np.zeros(image.shape, dtype=bool)
    inside[2:4, 5:15, 5:15] = True
    image[inside] = 3.0  # clipped
    low, high = _gray(image, inside)
    assert low < -1.5
    assert high == 3.0
    image[inside] = rng.uniform(2.0, 2.5, inside.sum())
    low, high = _gray(image, inside)
    assert 1.4 < low < 1.6  # its own range below and above it
    assert 2.4 < high < 3.0
    assert _gray(np.zeros_like(image), inside) == (0.0, 1e-3)
