import gzip
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.samples import write_pair

from albench.data import prepare
from albench.errors import DataError
from albench.registry import DATASETS, find
from albench.resolve import resolve
from albench.start import start_slices
from albench.streams import Streams

HIPPOCAMPUS = Path(__file__).parents[3] / "shared" / "data" / "Task04_Hippocampus"


def folder(root: Path, **options: object):
    return find(DATASETS, "folder")(root=str(root), **options)


def lps_reference(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorient by brute force: every voxel on an axis-aligned grid with x to the left, y to the back and z up."""
    direction = affine[:3, :3]
    axes = np.abs(direction / np.linalg.norm(direction, axis=0)).argmax(0)
    result = np.moveaxis(values, range(3), axes)
    for axis, sign in ((0, -1), (1, -1), (2, 1)):
        column = list(axes).index(axis)
        if np.sign(direction[axis, column]) != sign:
            result = np.flip(result, axis)
    return result


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("permutation", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1), (1, -1, 1)])
@pytest.mark.parametrize("oblique", [0.0, 0.2])
def test_volumes_in_any_orientation_give_the_same_slices(tmp_path, axis, permutation, flips, oblique):
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(5, 6, 7)).astype(np.float32), (rng.random((5, 6, 7)) > 0.5).astype(np.uint8)
    spacing = np.array([1.0, 2.0, 3.0])
    turn = np.array([[np.cos(oblique), -np.sin(oblique), 0], [np.sin(oblique), np.cos(oblique), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, permutation] * np.array(flips) * spacing
    affine[:3, 3] = (5, -3, 2)
    write_pair(tmp_path / "set", "one", image, mask, affine)
    volume = folder(tmp_path / "set", axis=axis).load("one")
    order = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}[axis]
    expected, truth = (lps_reference(values, affine).transpose(order) for values in (image, mask))
    if axis != "axial":
        expected, truth = expected[:, ::-1], truth[:, ::-1]
    np.testing.assert_array_equal(volume.image[0], expected)
    np.testing.assert_array_equal(volume.mask, truth)
    world = np.empty(3)
    world[list(permutation)] = spacing
    assert volume.spacing == pytest.approx(tuple(world[list(order)]))


def test_slope_and_intercept_of_integers_are_applied(tmp_path):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    write_pair(tmp_path / "set", "one", values, (values > 50).astype(np.uint8))
    path = tmp_path / "set" / "imagesTr" / "one.nii.gz"
    image = nib.Nifti1Image(values, np.eye(4) * [1, 1, 3, 1])
    image.header.set_slope_inter(0.5, -100)
    nib.save(image, path)
    loaded = folder(tmp_path / "set").load("one").image
    assert loaded.min() == pytest.approx(-100)
    assert loaded.max() == pytest.approx(119 * 0.5 - 100)


def saved(path: Path, values: np.ndarray, affine: np.ndarray, unit: int) -> None:
    image = nib.Nifti1Image(values, affine)
    image.header["xyzt_units"] = unit
    nib.save(image, path)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1.0), (2, 1.0), (2 + 8, 1.0), (1, 1e-3), (3, 1e3)])
def test_voxel_sizes_in_other_units_are_converted_to_millimeters(tmp_path, unit, factor):
    values = np.random.default_rng(0).random((20, 24, 8)).astype(np.float32)
    paths = write_pair(tmp_path / "set", "one", values, (values > 0.5).astype(np.uint8))
    for path, content in zip(paths, (values, (values > 0.5).astype(np.uint8)), strict=True):
        saved(path, content, np.diag([0.025 * factor, 0.03 * factor, 0.04 * factor, 1.0]), unit)
    data = folder(tmp_path / "set")
    assert data.load("one").spacing == pytest.approx((0.04, 0.03, 0.025))
    assert list(data.problems()) == []
    assert prepare(data).spacing[0] == pytest.approx((0.04, 0.03, 0.025))


def test_a_mask_in_another_unit_lies_on_the_grid_of_its_image_if_it_does_in_millimeters(tmp_path):
    values = np.random.default_rng(0).random((20, 24, 8)).astype(np.float32)
    image, mask = write_pair(tmp_path / "set", "one", values, (values > 0.5).astype(np.uint8), np.diag([1, 1, 3, 1.0]))
    saved(mask, (values > 0.5).astype(np.uint8), np.diag([1000, 1000, 3000, 1.0]), 3)
    assert folder(tmp_path / "set").load("one").spacing == (3, 1, 1)
    saved(image, values, np.diag([1, 1, 3, 1.0]), 1)
    with pytest.raises(DataError, match="a mask must lie on the grid of its image, the corners of"):
        folder(tmp_path / "set").load("one")


def test_an_undefined_unit_is_rejected(tmp_path):
    image, _ = write_pair(tmp_path / "set", "one", np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8))
    saved(image, np.zeros((4, 4, 4), np.float32), np.eye(4), 5)
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "set").load("one")
    assert str(rejected.value) == (
        f"'{image}' must have a voxel size in millimeters, meters or microns, its header has code 5 as unit: correct "
        "xyzt_units"
    )


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_voxels_that_are_not_real_numbers_are_rejected(tmp_path, part, dtype):
    path = write_pair(tmp_path / "set", "one", np.ones((4, 4, 4), np.float32), np.ones((4, 4, 4), np.uint8))[part]
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), dtype), np.diag([1, 1, 3, 1.0])), path)
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "set").load("one")
    assert str(rejected.value) == (
        f"'{path}' must have one real number per voxel, its type is {dtype.__name__}: save what is to be segmented, "
        "such as the magnitude, as real numbers"
    )


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colors_are_three_channels_and_no_labels(tmp_path, names):
    parts = np.random.default_rng(0).integers(0, 255, (20, 24, 8, 3)).astype(np.uint8)
    colors = np.full(parts.shape[:3], 255, np.uint8).astype([(name, "u1") for name in names])
    for index, name in enumerate("RGB"):
        colors[name] = parts[..., index]
    image, mask = write_pair(tmp_path / "set", "one", colors, (parts[..., 0] > 100).astype(np.uint8))
    loaded = folder(tmp_path / "set").load("one").image
    np.testing.assert_array_equal(loaded, parts[::-1, ::-1].transpose(3, 2, 1, 0))
    np.testing.assert_array_equal(folder(tmp_path / "set", channels=(2, 0)).load("one").image, loaded[[2, 0]])
    assert prepare(folder(tmp_path / "set")).images.shape[1] == 3
    image.rename(mask)
    write_pair(tmp_path / "other", "one", parts[..., 0], colors)
    mask = tmp_path / "other" / "labelsTr" / "one.nii.gz"
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "other").load("one")
    assert str(rejected.value) == f"a mask must have one number per voxel, '{mask}' has colors: save labels"


@pytest.mark.parametrize("shape", [(20, 24, 8, 1, 2), (20, 24, 8, 2), (20, 24, 8, 2, 1)])
def test_components_of_a_vector_are_channels(tmp_path, shape):
    """NIfTI has them in the fifth dimension, or says with its intent that the fourth one is theirs."""
    values = np.random.default_rng(0).random((20, 24, 8, 2)).astype(np.float32)
    path, _ = write_pair(tmp_path / "set", "one", values[..., 0], (values[..., 0] > 0.5).astype(np.uint8))
    image = nib.Nifti1Image(values.reshape(shape), np.diag([1, 1, 3, 1.0]))
    image.header.set_intent("vector")
    nib.save(image, path)
    loaded = folder(tmp_path / "set").load("one").image
    np.testing.assert_array_equal(loaded, values[::-1, ::-1].transpose(3, 2, 1, 0))
    image.header.set_intent("none")
    nib.save(image, path)
    if shape == (20, 24, 8, 1, 2):
        np.testing.assert_array_equal(folder(tmp_path / "set").load("one").image, loaded)
    else:
        with pytest.raises(DataError) as rejected:
            folder(tmp_path / "set").load("one")
        assert str(rejected.value) == (
            f"'{path}' must be a 3D volume, it has shape (20, 24, 8, 2): remove it or save one volume per file, or "
            "choose the channels of an image with data.channels"
        )


@pytest.mark.parametrize("suffix", [".NII.GZ", ".Nii.Gz", ".NII", ".nii.GZ"])
@pytest.mark.parametrize("parts", [("imagesTr",), ("labelsTr",), ("imagesTr", "labelsTr")])
def test_suffixes_may_be_in_capitals(tmp_path, suffix, parts):
    values = np.random.default_rng(0).random((20, 24, 8)).astype(np.float32)
    write_pair(tmp_path / "set", "one", values, (values > 0.5).astype(np.uint8))
    expected = folder(tmp_path / "set").load("one")
    for part in parts:
        path = tmp_path / "set" / part / "one.nii.gz"
        content = path.read_bytes()
        path.unlink()
        packed = suffix.lower().endswith(".gz")
        path.with_name(f"one{suffix}").write_bytes(content if packed else gzip.decompress(content))
    data = folder(tmp_path / "set")
    assert list(data.cases()) == ["one"]
    loaded = data.load("one")
    np.testing.assert_array_equal(loaded.image, expected.image)
    np.testing.assert_array_equal(loaded.mask, expected.mask)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("position", [-8, -4, None])
def test_a_compressed_file_whose_checksum_or_end_is_wrong_is_rejected(tmp_path, part, position):
    values = np.random.default_rng(0).integers(0, 2, (20, 24, 8)).astype(np.uint8)
    path = write_pair(tmp_path / "set", "one", values.astype(np.float32), values)[part]
    content = bytearray(path.read_bytes())
    if position is None:
        del content[-6:]
    else:
        content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"one.nii.gz' must be complete, it cannot be read to its end \(.+\): copy or"):
        folder(tmp_path / "set").load("one")


def test_a_compressed_file_of_another_content_with_a_sound_stream_is_rejected(tmp_path):
    """A stored block of deflate has no check of its own, so that a changed byte is only seen in the checksum."""
    values = np.random.default_rng(0).integers(0, 2, (20, 24, 8)).astype(np.uint8)
    path, _ = write_pair(tmp_path / "set", "one", values, values)
    raw = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    path.write_bytes(raw)
    folder(tmp_path / "set").load("one")
    raw[-100] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="CRC check failed"):
        folder(tmp_path / "set").load("one")


def test_labels_select_the_foreground(two_labels):
    both, first = (prepare(folder(two_labels, labels=labels)) for labels in ((1, 2), (1,)))
    assert both.masks.sum() == 6 * 7 * 9 * 4
    assert first.masks.sum() == 3 * 7 * 9 * 4


def test_uncompressed_files_are_read_and_hidden_files_are_ignored(decathlon):
    packed = decathlon / "imagesTr" / "blob_0.nii.gz"
    (decathlon / "imagesTr" / "blob_0.nii").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    (decathlon / "imagesTr" / "._blob_1.nii.gz").write_bytes(b"resource fork")
    assert list(folder(decathlon).cases()) == [f"blob_{i}" for i in range(6)]


def test_dataset_json_selects_the_cases(decathlon):
    pair = {"image": "./imagesTr/blob_2.nii.gz", "label": "./labelsTr/blob_2.nii.gz"}
    (decathlon / "dataset.json").write_text(json.dumps({"training": [pair]}))
    assert list(folder(decathlon).cases()) == ["blob_2"]


def moved(root: Path, old: str, new: str) -> None:
    """Give the image and the mask of a case another place in their folders."""
    for part in ("imagesTr", "labelsTr"):
        path = root / part / f"{new}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        (root / part / f"{old}.nii.gz").rename(path)


def test_files_of_one_name_in_different_subfolders_are_cases_of_their_own(decathlon):
    moved(decathlon, "blob_1", "b/blob_0")
    moved(decathlon, "blob_2", "c/blob_7")
    moved(decathlon, "blob_3", "c/blob_8_0000")
    (decathlon / "labelsTr" / "c" / "blob_8_0000.nii.gz").rename(decathlon / "labelsTr" / "c" / "blob_8.nii.gz")
    data = folder(decathlon)
    assert list(data.cases()) == ["b-blob_0", "blob_0", "blob_4", "blob_5", "blob_7", "blob_8"]
    assert len(prepare(data).cases) == 6
    entries = [
        {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in ("blob_0", "b/blob_0")
    ]
    (decathlon / "dataset.json").write_text(json.dumps({"training": entries}))
    listed = folder(decathlon)
    assert list(listed.cases()) == ["b-blob_0", "blob_0"]
    assert listed.load("b-blob_0").image.tobytes() == data.load("b-blob_0").image.tobytes()
    left_out = [problem.sentence for problem in listed.problems() if not problem.serious]
    assert f"'{decathlon}/imagesTr/c/blob_7.nii.gz' should be listed in dataset.json, it is not" in left_out[-2]


def test_an_image_that_dataset_json_lists_twice_is_one_sentence(decathlon):
    entry = {"image": "imagesTr/blob_0.nii.gz", "label": "labelsTr/blob_0.nii.gz"}
    (decathlon / "dataset.json").write_text(json.dumps({"training": [entry, entry]}))
    sentence = (
        r"two volumes must have different names, '.*imagesTr/blob_0.nii.gz' and another one would be case 'blob_0': "
    )
    with pytest.raises(DataError, match=f"{sentence}rename it, or list it once"):
        folder(decathlon).cases()


def damage(root: Path, fault: str) -> None:
    """Add a fault to a good folder."""
    image, mask = (root / part / "blob_3.nii.gz" for part in ("imagesTr", "labelsTr"))
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    if fault == "no mask":
        mask.unlink()
    elif fault == "no image":
        image.unlink()
    elif fault == "no images":
        for path in (root / "imagesTr").iterdir():
            path.unlink()
    elif fault == "truncated":
        image.write_bytes(image.read_bytes()[:-3000])
    elif fault == "not nifti":
        image.write_bytes(b"hello")
    elif fault == "empty file":
        image.write_bytes(b"")
    elif fault == "other shape":
        nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), affine), mask)
    elif fault == "2d":
        nib.save(nib.Nifti1Image(np.zeros((9, 9), np.uint8), affine), image)
    elif fault == "4d":
        nib.save(nib.Nifti1Image(np.zeros((9, 9, 4, 2), np.uint8), affine), image)
    elif fault == "nan":
        values = np.full((23, 24, 8), np.nan, np.float32)
        nib.save(nib.Nifti1Image(values, affine), image)
    elif fault == "other grid":
        nib.save(nib.Nifti1Image(np.zeros((23, 24, 8), np.uint8), np.diag([1.0, 1.0, 2.0, 1.0])), mask)
    elif fault in ("no voxels", "fewer than no voxels", "huge"):
        side = {"no voxels": 0, "fewer than no voxels": -9, "huge": 32767}[fault]
        header = bytearray(gzip.decompress(image.read_bytes()))
        header[42:48] = struct.pack("<3h", side, 24 if side < 1 else side, 8 if side < 1 else side)
        image.write_bytes(gzip.compress(bytes(header)))
    elif fault == "one direction":
        nib.save(nib.Nifti1Image(np.zeros((23, 24, 8), np.uint8), np.eye(4) + 1e30 * np.eye(4, k=1)), image)
    elif fault == "bad json":
        (root / "dataset.json").write_text("{")
    elif fault == "missing in json":
        entry = {"image": "imagesTr/absent.nii.gz", "label": "labelsTr/blob_1.nii.gz"}
        (root / "dataset.json").write_text(json.dumps({"training": [entry]}))
    elif fault == "undeclared label":
        entries = [{"image": f"imagesTr/blob_{i}.nii.gz", "label": f"labelsTr/blob_{i}.nii.gz"} for i in range(6)]
        text = json.dumps({"labels": {"0": "background", "2": "blob"}, "training": entries})
        (root / "dataset.json").write_text(text)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no mask", "every image must have a mask, '.*blob_3.nii.gz' has none in labelsTr/: add it, or set"),
        ("no image", "every mask must have an image, '.*blob_3.nii.gz' has none: add it or remove the mask"),
        ("no images", "must hold images in imagesTr/ and masks in labelsTr/, found none: check the path"),
        ("truncated", "'.*blob_3.nii.gz' must be complete, it cannot be read to its end .*: copy or download it again"),
        ("not nifti", "'.*blob_3.nii.gz' must be a readable NIfTI file, it is not"),
        ("empty file", "'.*blob_3.nii.gz' must be a readable NIfTI file, it is not"),
        ("other shape", r"a mask must have the shape of its image, '.*blob_3.nii.gz' has \(9, 9, 9\) and the image"),
        (
            "2d",
            r"a mask must have the shape of its image, '.*blob_3.nii.gz' has \(23, 24, 8\) and the image \(9, 9, 1\)",
        ),
        ("4d", r"'.*blob_3.nii.gz' must be a 3D volume, it has shape \(9, 9, 4, 2\): remove it"),
        ("nan", "case 'blob_3' must have finite intensities, 4416 voxels are NaN or infinite: repair"),
        ("other grid", "a mask must lie on the grid of its image, the corners of '.*blob_3.nii.gz' are up to 7 mm off"),
        ("no voxels", r"'.*blob_3.nii.gz' must have voxels, its header says shape \(0, 24, 8\): repair the header or"),
        (
            "fewer than no voxels",
            r"'.*blob_3.nii.gz' must have voxels, its header says shape \(-9, 24, 8\): repair the",
        ),
        (
            "huge",
            r"'.*blob_3.nii.gz', of shape \(32767, 32767, 32767\) as its header says, must fit into the memory of this "
            "machine, it takes at least 140,724.6 GB and there are .* GB: repair the header or leave the file out",
        ),
        ("one direction", "'.*blob_3.nii.gz' must have a voxel size and directions in its header, its affine is not"),
        ("bad json", 'dataset.json\' must list cases under "training"'),
        ("missing in json", "absent.nii.gz' must exist, dataset.json lists it: add the file or remove the line"),
        (
            "undeclared label",
            r"a mask must contain labels that dataset.json declares, '.*blob_0.nii.gz' contains 1 too",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_the_file(decathlon, fault, sentence):
    damage(decathlon, fault)
    with pytest.raises(DataError, match=sentence):
        prepare(folder(decathlon))


def test_the_header_of_a_mask_is_ignored_with_an_option(decathlon):
    damage(decathlon, "other grid")
    assert prepare(folder(decathlon, mask_grid="image")).masks.sum() == 5 * 7 * 9 * 4


def test_labels_that_do_not_occur_are_rejected(decathlon):
    with pytest.raises(DataError, match=r"all 6 masks are empty: check the masks and the labels that are foreground"):
        prepare(folder(decathlon, labels=(7,)))


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"data.root must be an existing folder, '.*nowhere' is not: set it with"):
        folder(tmp_path / "nowhere").cases()


def test_defaults_have_a_finer_grid_for_small_slices_and_the_network_of_the_paper_for_large_ones(decathlon, tmp_path):
    assert folder(decathlon).defaults()["network.stem_stride"] == 2
    image = np.zeros((200, 180, 22), np.float32)
    write_pair(tmp_path / "large", "one", image, image.astype(np.uint8))
    assert folder(tmp_path / "large").defaults() == {"protocol.budget": 10}


@pytest.mark.parametrize(("depths", "start"), [((22, 40), None), ((21, 40), "inside"), ((8, 11), "inside")])
def test_initial_slices_of_shallow_volumes_are_inside(tmp_path, depths, start):
    for depth in depths:
        image = np.random.default_rng(depth).random((24, 20, depth)).astype(np.float32)
        write_pair(tmp_path / "set", f"c{depth}", image, (image > 0.5).astype(np.uint8))
    data = folder(tmp_path / "set")
    assert data.defaults().get("protocol.start") == start
    slices = prepare(data).stack(data.cases())
    chosen = start_slices(slices, start or "interval", 10, Streams(0, "x"))
    for case, depth in enumerate(prepare(data).counts):
        inside = [place for place in slices.position[chosen[slices.case[chosen] == case]] if 0 < place < depth - 1]
        assert len(inside) >= 2


def test_the_start_of_shallow_volumes_follows_the_axis_and_is_that_of_the_user_if_given(tmp_path):
    image = np.random.default_rng(0).random((24, 30, 8)).astype(np.float32)
    for name in "abc":
        write_pair(tmp_path / "set", name, image, (image > 0.5).astype(np.uint8))
    settings = {"data.root": str(tmp_path / "set"), "protocol.split": [1, 1, 1]}
    for more, start in (
        ({}, "inside"),
        ({"data.axis": "coronal"}, "interval"),
        ({"protocol.start": "interval"}, "interval"),
    ):
        assert resolve("random", "folder", settings=settings | more).config.protocol.start == start


@pytest.mark.slow
@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="the real data are not available")
def test_real_hippocampi_have_the_voxel_counts_of_nibabel():
    data = folder(HIPPOCAMPUS)
    prepared = prepare(data)
    assert len(prepared.cases) == 104
    for label in (1, 2):
        only = prepare(folder(HIPPOCAMPUS, labels=(label,)))
        for index, name in enumerate(only.cases):
            raw = np.asarray(nib.load(HIPPOCAMPUS / "labelsTr" / f"{name}.nii.gz").dataobj)
            stack = only.labeled_stack([name])
            assert stack.masks(stack.slices.of(0)).sum(dtype=int) == (raw == label).sum()
            assert only.counts[index] == raw.shape[2]
    for name in prepared.cases[::10]:
        image = nib.as_closest_canonical(nib.load(HIPPOCAMPUS / "imagesTr" / f"{name}.nii.gz"))
        expected = np.asarray(image.dataobj).astype(np.float32)[::-1, ::-1].transpose(2, 1, 0)
        np.testing.assert_array_equal(data.load(name).image[0], expected)
