"""What prepared data keep of the cases as they were read, and which of them look odd."""

import dataclasses
import json

import numpy as np
import pytest

from albench.data import AsRead, FileFacts, Volume, oddities, pooled, prepare, value_counts
from albench.data.stored_set import write_meta
from albench.registry import DATASETS, find

USUAL = AsRead("RAS", {0: 90, 1: 10}, (10, 20, 20), (3.0, 1.0, 1.0), ((0.0, 1.0, 5.0, 9.0, 10.0),), "")


def cases(*others, count=8):
    """As many usual cases, the last of which are replaced."""
    changed = [{}] * (count - len(others)) + list(others)
    return [dataclasses.replace(USUAL, image=f"{index}", **of) for index, of in enumerate(changed) if of is not None]


def found(*others, count=8):
    read = cases(*others, count=count)
    return list(oddities([f"c{index}" for index in range(len(read))], read))


def test_usual_cases_are_not_odd():
    assert found() == []


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            ({"orientation": "LAS"},),
            "all files should have one orientation, those of 'c7' are LAS and the others RAS: all are brought to one, "
            "look in the picture whether their headers are right",
        ),
        (
            ({"spacing": (7.0, 1.0, 1.0), "shape": (5, 20, 20)},),
            "all cases should have voxels of about one size in millimeters, 'c7' differ from the others by a factor of "
            "more than 2, 'c7' has 7 x 1 x 1 and the median is 3 x 1 x 1: compare their headers with those of the "
            "others",
        ),
        (
            ({"shape": (10, 20, 45)}, {"shape": (4, 20, 20)}),
            "all cases should have about one extent in millimeters, 'c6', 'c7' differ from the others by a factor of "
            "more than 2, 'c6' has 30 x 20 x 45 and the median is 30 x 20 x 20: look whether they show the same part "
            "of the body",
        ),
        (
            ({"percentiles": ((0.0, 1.0, 500.0, 900.0, 1000.0),)},),
            "all cases should have intensities of about one range, 'c7' differ from the others by a factor of more "
            "than 10, 'c7' has 1e+03 and the median is 10: look whether they have the same unit",
        ),
        (
            ({"values": {0: 90, 1: 8, 7: 2}},),
            "a value should occur in several masks, 7 occurs in that of 'c7' only, with 2 voxels: look whether it was "
            "drawn by mistake",
        ),
        (
            ({"image": "0"}, {"image": "1"}),
            "an image should occur once, 2 are those of others, 'c6' as 'c0', 'c7' as 'c1': remove one of each",
        ),
    ],
)
def test_few_cases_that_differ_from_all_others_are_named(others, sentence):
    names = [f"c{index}" for index in range(8)]
    read = cases(*({k: v for k, v in of.items() if k != "image"} for of in others))
    images = [
        of.get("image", case.image) for of, case in zip([{}] * (8 - len(others)) + list(others), read, strict=True)
    ]
    read = [dataclasses.replace(case, image=image) for case, image in zip(read, images, strict=True)]
    assert list(oddities(names, read)) == [sentence]


def test_cases_that_vary_and_sets_of_few_cases_are_not_odd():
    assert found({"orientation": "LAS"}, {"orientation": "LPS"}, {"orientation": "LAS"}) == []
    assert found(*[{"spacing": (7.0, 1.0, 1.0), "shape": (5, 20, 20)}] * 3) == []
    assert found({"orientation": "LAS", "values": {0: 1, 7: 1}}, count=4) == []
    assert found({"spacing": (5.9, 1.0, 1.0)}, {"spacing": (1.6, 1.0, 1.0)}) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_values_are_counted_as_numpy_counts_them(dtype):
    values = np.random.default_rng(0).integers(0, 200, (7, 8, 9)).astype(dtype)
    expected = {int(value): int((values == value).sum()) for value in np.unique(values)}
    assert value_counts(values) == expected
    counts = pooled([expected, {3: 5, -1: 2}])
    assert list(counts) == sorted({*expected, 3, -1})
    assert (counts[-1].voxels, counts[-1].masks) == (2, 1)
    assert counts[3].voxels == expected.get(3, 0) + 5


def test_facts_of_a_case_are_those_of_its_voxels_and_outlive_json():
    image = np.random.default_rng(0).normal(100, 20, (2, 9, 64, 64)).astype(np.float32)
    mask = np.zeros((9, 64, 64), np.uint8)
    mask[0, 0, :3] = 1
    read = AsRead.of(Volume(image, mask, (3.0, 1.0, 2.0)))
    assert (read.orientation, read.values, read.shape) == ("", {0: mask.size - 3, 1: 3}, (9, 64, 64))
    np.testing.assert_allclose(read.percentiles, np.percentile(image, (0.5, 5, 50, 95, 99.5), (1, 2, 3)).T, rtol=1e-4)
    assert AsRead.from_json(json.loads(json.dumps(dataclasses.asdict(read)))) == read
    told = AsRead.of(Volume(image, mask, (3.0, 1.0, 2.0), FileFacts("LPS", {0: 1, 600: 2})))
    assert (told.orientation, told.values, told.image) == ("LPS", {0: 1, 600: 2}, read.image)


def test_a_prepared_set_keeps_the_facts_of_its_cases(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path))
    data = find(DATASETS, "phantom")(count=3, depth=8, side=32)
    made, opened = prepare(data), prepare(data)
    assert opened.read == made.read == tuple(AsRead.of(data.load(case)) for case in data.cases())
    assert [case.foreground for case in opened.labels] == [int((data.load(c).mask == 1).sum()) for c in data.cases()]


def test_a_set_of_a_version_that_did_not_count_values_is_prepared_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path))
    data = find(DATASETS, "phantom")(count=3, depth=8, side=32)
    prepare(data)
    (folder,) = tmp_path.glob("phantom-*")
    meta = json.loads((folder / "meta.json").read_text())
    write_meta(folder, {name: fact for name, fact in meta.items() if name not in ("read", "labels", "sha256")})
    assert prepare(data).read[0].shape == data.load("phantom-000").mask.shape
