"""What the values of masks in files mean: classes, unknown voxels, and images without masks."""

import json
import os

import nibabel as nib
import numpy as np
import pytest
from support.layouts import brats, decathlon_task
from support.samples import write_pair

from albench.data import check_options, prepare
from albench.errors import ConfigError, DataError
from albench.masks import UNKNOWN
from albench.registry import DATASETS, find, options_of
from albench.resolve import make_dataset, resolve
from albench.settings import parse_settings

NAMES = ("c0", "c1", "c2", "c3", "c4")
NNUNET = {"file_ending": ".nii.gz", "channel_names": {"0": "CT"}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """Five volumes whose masks have the values 0 to 5, in another orientation each."""
    for index, name in enumerate(NAMES):
        rng = np.random.default_rng(index)
        shape = (20 + index, 24, 8)
        affine = np.diag([(-1.0) ** index, 1.0, 3.0 * (-1) ** (index // 2), 1.0])
        write_pair(
            tmp_path / "set",
            name,
            rng.normal(size=shape).astype(np.float32),
            rng.integers(0, 6, shape, np.uint8),
            affine,
        )
    return tmp_path / "set"


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def raw(root, name):
    return np.asarray(nib.load(root / "labelsTr" / f"{name}.nii.gz").dataobj)


def describe(root, labels, **more):
    (root / "dataset.json").write_text(json.dumps(NNUNET | {"labels": labels} | more))


def voxels(data):
    """(cases, K + 2) voxels of every label of a prepared set without padding, UNKNOWN last."""
    prepared = prepare(data)
    labeled = prepared.labeled_stack(prepared.cases)
    counts = []
    for index, name in enumerate(prepared.cases):
        ids = labeled.slices.of(index)
        masks = labeled.masks(ids)
        of = [int((masks == label).sum()) for label in (*range(len(prepared.classes) + 1), UNKNOWN)]
        of[0] -= masks.size - data.load(name).mask.size
        counts.append(of)
    return np.array(counts)


def test_voxels_per_class_are_those_that_nibabel_counts(root):
    data = folder(root, classes={"liver": (1, 2), "tumor": 4, "cyst": 9}, unknown=3)
    assert data.class_names == ("liver", "tumor", "cyst")
    masks = [raw(root, name) for name in NAMES]
    expected = [[np.isin(mask, values).sum() for values in ((0, 5), (1, 2), (4,), (9,), (3,))] for mask in masks]
    np.testing.assert_array_equal(voxels(data), expected)


def test_one_class_of_several_values_equals_labels(root):
    by_labels, by_name = folder(root, labels=(1, 4)), folder(root, classes={"foreground": (4, 1)})
    for name in NAMES:
        np.testing.assert_array_equal(by_labels.load(name).mask, by_name.load(name).mask)
    assert by_labels.class_names == by_name.class_names == ("foreground",)


def test_classes_and_unknown_values_are_settings(root):
    settings = parse_settings(["data.classes={liver: [1, 2], tumor: 4}", "data.unknown=[3,5]"], root)
    data = make_dataset("folder", settings)
    assert data.class_names == ("liver", "tumor")
    again = make_dataset("folder", {f"data.{name}": value for name, value in options_of(data).items()})
    assert voxels(again).tolist() == voxels(data).tolist()
    one = parse_settings(["data.unknown=3"], root)
    assert (make_dataset("folder", one).load("c0").mask == UNKNOWN).sum() == (raw(root, "c0") == 3).sum()


def test_the_order_of_the_names_is_that_of_the_classes(root):
    first, second = (folder(root, classes=classes) for classes in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    np.testing.assert_array_equal(first.load("c0").mask % 2, second.load("c0").mask // 2)
    assert prepare(first).key != prepare(second).key
    assert prepare(second).classes == ("b", "a")


def test_a_list_sets_classes_and_unknown_values(root):
    lines = [f'imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz,"{{liver: [1, 2], tumor: 4}}",3' for name in NAMES]
    (root / "list.csv").write_text("\n".join(["image,mask,classes,unknown", *lines]))
    listed = folder(root / "list.csv")
    assert listed.class_names == ("liver", "tumor")
    assert voxels(listed).tolist() == voxels(folder(root, classes={"liver": (1, 2), "tumor": 4}, unknown=3)).tolist()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ("classes={liver: [1, 2], tumor: [2]}",),
            "value 2 is in 'liver' and 'tumor': overlapping regions, as of nnU-Net's",
        ),
        (("classes={liver: 0}",), "values of a class must be above 0, the background, 'liver' has 0: leave"),
        (("classes={liver: [1, -1]}",), "values of a class must be above 0, the background, 'liver' has -1: leave"),
        (("classes={liver: []}",), "a class must have at least one value in the masks, 'liver' has none: give it one"),
        (("classes={}",), "a dataset must have 1 to 32 classes, 'set' has 0"),
        ((f"classes={ {f'c{i}': i for i in range(1, 34)} }",), "a dataset must have 1 to 32 classes, 'set' has 33"),
        (("classes={a: 1}", "labels=[1]"), "chosen by one option, got data.classes and data.labels: leave one"),
        (("classes={a: 1}", "target=classes"), "chosen by one option, got data.classes and data.target: leave one"),
        (("target=classes", "labels=[1]"), "chosen by one option, got data.labels and data.target: leave one"),
        (("target=classes",), "in dataset.json or in DICOM-SEG, it finds none: name them with data.classes"),
        (("classes={a: 1}", "unknown=1"), "1 is in class 'a' and in data.unknown: leave it out of one of them"),
        (("labels=[1]", "unknown=[2,1]"), "1 is in class 'foreground' and in data.unknown: leave it out"),
    ],
)
def test_classes_that_do_not_fit_are_one_sentence(root, settings, sentence):
    data = make_dataset("folder", parse_settings([f"data.{setting}" for setting in settings], root))
    with pytest.raises(ConfigError) as rejected:
        check_options(data)
    assert sentence in str(rejected.value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("data.classes={a: 1, a: 2}", "the key 'a' occurs twice in line 1"),
        ("data.classes=[1]", "data.classes must be a mapping"),
        ("data.classes={a: x}", "must be a valid integer, got 'x'"),
        ("data.unknown=true", "must be a valid integer, got True"),
    ],
)
def test_settings_of_another_form_are_one_sentence(root, setting, sentence):
    with pytest.raises(ConfigError) as rejected:
        make_dataset("folder", parse_settings([setting], root))
    assert sentence in str(rejected.value)


def test_the_ignore_label_of_nnunet_is_unknown_for_one_class_and_for_several(root):
    describe(root, {"background": 0, "liver": 1, "vein": [2, 5], "tumor": 4, "ignore": 3})
    for data, values in (
        (folder(root), ((0,), (1, 2, 4, 5), (3,))),
        (folder(root, labels=(2, 4)), ((0, 1, 5), (2, 4), (3,))),
        (folder(root, target="classes"), ((0,), (1,), (2, 5), (4,), (3,))),
        (folder(root, classes={"a": 5, "b": 1}), ((0, 2, 4), (5,), (1,), (3,))),
        (folder(root, classes={"a": 3}), ((0, 1, 2, 4, 5), (3,), ())),  # the user knows better
    ):
        expected = [[np.isin(raw(root, name), of).sum() for of in values] for name in NAMES]
        np.testing.assert_array_equal(voxels(data), expected)
    assert folder(root, target="classes").class_names == ("liver", "vein", "tumor")


@pytest.mark.parametrize(("name", "values", "unknown"), [("ignore", 3, "3"), ("Ignore", [3, 4], "[3, 4]")])
def test_no_class_has_the_name_of_what_nobody_has_labeled(root, name, values, unknown):
    with pytest.raises(ConfigError) as rejected:
        prepare(folder(root, classes={"liver": 1, name: values}))
    assert str(rejected.value) == (
        f"a class must not have the name of nnU-Net for voxels that nobody has labeled, got '{name}': leave it out and "
        f"set data.unknown={unknown}, or give it another name"
    )


def test_regions_of_nnunet_are_one_class_together_and_refused_as_classes(root):
    describe(root, {"background": 0, "whole": [1, 2, 3, 4, 5], "core": [2, 3], "enhancing": 3})
    assert voxels(folder(root))[:, 1].tolist() == [(raw(root, name) > 0).sum() for name in NAMES]
    with pytest.raises(ConfigError, match=r"value 2 is in 'whole' and 'core': .* with data.labels=\[2, 3\] for 'core'"):
        prepare(folder(root, target="classes"))


@pytest.mark.parametrize("target", ["foreground", "classes"])
def test_a_value_that_dataset_json_does_not_declare_is_rejected_unless_it_is_unknown(root, target):
    describe(root, {"background": 0, "liver": 1, "vein": 2, "tumor": 3, "ignore": 4})
    with pytest.raises(DataError, match=r"that dataset.json declares, '.*c0.nii.gz' contains 5 too: choose"):
        prepare(folder(root, target=target))
    assert (folder(root, classes={"vein": 2}).load("c0").mask == 1).sum() == (raw(root, "c0") == 2).sum()
    prepared = prepare(folder(root, target=target, unknown=5))
    assert prepared.unknown.tolist() == [np.isin(raw(root, name), (4, 5)).sum() for name in NAMES]


def test_a_255_beside_other_values_has_to_be_explained(tmp_path):
    image = np.random.default_rng(0).normal(size=(20, 24, 8)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[5:9, 5:9], mask[9:12] = 1, 255
    write_pair(tmp_path / "set", "one", image, mask)
    with pytest.raises(DataError) as asked:
        prepare(folder(tmp_path / "set"))
    assert str(asked.value) == (
        "the meaning of value 255 must be given, the masks of 'set' contain 1 (128 voxels in 1 mask) and 255 (576 "
        "voxels in 1 mask): use --set data.unknown=255 if nobody has labeled the voxels of 255, or --set "
        "'data.labels=[1,255]' if they are foreground"
    )
    both, unknown, first = (folder(tmp_path / "set", **o).load("one").mask for o in WAYS)
    assert [(both == 1).sum(), (unknown == 1).sum(), (first == 1).sum()] == [(mask > 0).sum(), *[(mask == 1).sum()] * 2]
    assert [(made == UNKNOWN).sum() for made in (both, unknown, first)] == [0, (mask == 255).sum(), 0]
    write_pair(tmp_path / "set", "one", image, np.where(mask == 255, 255, 0).astype(np.uint8))
    assert folder(tmp_path / "set").load("one").mask.sum() == (mask == 255).sum()


def write_values(root, *values, dtype=np.uint8):
    """Volumes with 10 x 6 voxels of every value in a slice of its own."""
    for index, of in enumerate(values):
        mask = np.zeros((12, 12, max(len(of), 4)), dtype)
        for k, value in enumerate(of):
            mask[1:11, 3:9, k] = value
        image = np.random.default_rng(index).normal(size=mask.shape).astype(np.float32)
        write_pair(root, f"c{index}", image, mask)


def question(root, **options):
    """The one sentence about values, of the preparation and of the check alike; None if there is none."""
    data = folder(root, **options)
    asked = [problem for problem in data.problems() if problem.serious]
    if not asked:
        prepare(data)
        return None
    (problem,) = asked
    for _ in range(2):  # the second time, the volumes of the first are there
        with pytest.raises(DataError) as rejected:
            prepare(data)
        assert problem.sentence == str(rejected.value)
    return problem.sentence


def test_several_values_are_asked_about_with_their_numbers_in_all_masks(tmp_path):
    write_values(tmp_path / "set", (1,), (1, 2), (2,))
    sentence = (
        "what is to be segmented must be chosen, the masks of 'set' contain 1 (120 voxels in 2 masks) and 2 (120 "
        "voxels in 2 masks): use --set data.classes='{a: 1, b: 2}' for classes with names of yours, or --set "
        "'data.labels=[1,2]' for one foreground of all of them"
    )
    assert question(tmp_path / "set") == sentence
    for options in ({"labels": (1, 2)}, {"labels": (1,)}, {"classes": {"a": 1, "b": 2}}, {"unknown": 2}):
        assert question(tmp_path / "set", **options) is None
    lines = [f"imagesTr/c{i}.nii.gz,labelsTr/c{i}.nii.gz" for i in range(3)]
    (tmp_path / "set" / "set.csv").write_text("\n".join(["image,mask", *lines]))
    assert question(tmp_path / "set" / "set.csv") == sentence
    (tmp_path / "set" / "set.csv").write_text("\n".join(["image,mask,labels", *(f'{line},"[1, 2]"' for line in lines)]))
    assert question(tmp_path / "set" / "set.csv") is None


def test_a_value_of_the_last_mask_only_is_asked_about(tmp_path):
    write_values(tmp_path / "set", (1,), (1,), (1,), (7,))
    assert "contain 1 (180 voxels in 3 masks) and 7 (60 voxels in 1 mask): use" in str(question(tmp_path / "set"))


def test_the_question_of_the_first_mask_has_the_values_of_all(tmp_path):
    write_values(tmp_path / "set", (1, 2), (3,), (1, 4))
    options = (
        "--set data.classes='{a: 1, b: 2, c: 3, ...}' for classes with names of yours, or --set 'data.labels=[1,2,3,4]'"
    )
    assert options in str(question(tmp_path / "set"))


def test_a_preparation_goes_on_with_the_values_of_what_it_has_read(tmp_path, monkeypatch):
    write_values(tmp_path / "set", (1,), (2,), (1,))
    image = tmp_path / "set" / "imagesTr" / "c1.nii.gz"
    content = image.read_bytes()
    times = image.stat()
    image.write_bytes(content[:-200])
    with pytest.raises(DataError, match="must be complete"):
        prepare(folder(tmp_path / "set"))
    image.write_bytes(content)
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "contain 1 (120 voxels in 2 masks) and 2 (60 voxels" in str(question(tmp_path / "set"))


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        (((255,), (255,)), None),
        (((1,), (255,)), "or --set 'data.labels=[1,255]' if they are foreground"),
        (((7,), (7,)), None),
        (((), (3,)), None),
        (
            ((1, 2, 255),),
            "for one foreground of all of them, or, if nobody has labeled the voxels of 255, leave it out",
        ),
        (((127, 254),), "use --set data.classes='{a: 127, b: 254}' for classes"),
    ],
)
def test_one_value_is_foreground_whatever_it_is(tmp_path, values, asked):
    write_values(tmp_path / "set", *values)
    found = question(tmp_path / "set")
    assert asked in str(found) if asked else found is None


def test_many_values_are_cut_in_the_sentence_and_whole_in_the_option(tmp_path):
    write_values(tmp_path / "set", range(1, 42))
    sentence = str(question(tmp_path / "set"))
    assert "7 (60 voxels in 1 mask), 8 (60 voxels in 1 mask) and 33 more: use" in sentence
    assert f"--set 'data.labels=[{','.join(map(str, range(1, 42)))}]' for one foreground" in sentence


def test_a_mask_of_thousands_of_values_is_taken_for_an_image(tmp_path):
    mask = np.arange(3000, dtype=np.int16).reshape(20, 15, 10)
    write_pair(tmp_path / "set", "one", np.random.default_rng(0).normal(size=mask.shape).astype(np.float32), mask)
    assert question(tmp_path / "set") == (
        f"a mask must contain labels, '{tmp_path}/set/labelsTr/one.nii.gz' contains 3,000 different values from 0 to "
        "2999, as an image does: give the file with the labels, or choose values with data.labels or data.classes"
    )
    assert question(tmp_path / "set", labels=(5,)) is None
    assert len(folder(tmp_path / "set", labels=(5,)).load("one").facts.values) == 256


@pytest.mark.parametrize(
    ("labels", "joined", "unknown"),
    [
        ({"background": 0, "liver": 1, "tumor": 2}, ("liver", "tumor"), ()),
        ({"Background": 0, "liver": 1, "Ignore": 2}, (), (2,)),
        ({"0": "background", "1": "liver", "2": "tumor", "3": "IGNORE"}, ("liver", "tumor"), (3,)),
        ({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, ("whole", "core"), (3,)),
        ({"background": 0, "liver": 1, "tumor": 2, "ignore": [3]}, ("liver", "tumor"), (3,)),
    ],
)
def test_names_of_dataset_json_that_become_one_foreground_are_told(tmp_path, labels, joined, unknown):
    root = tmp_path / "set"
    write_values(root, (1, 2), (1, 2), (1,))
    describe(root, labels)
    note = (
        (
            f"the 2 labels '{joined[0]}', '{joined[1]}' of dataset.json are one foreground: use --set "
            "data.target=classes for a class each, or choose some with data.labels"
        )
        if joined
        else None
    )
    data = folder(root)
    assert list(data.notes()) == ([note] if note else [])
    assert [problem.sentence for problem in data.problems() if "one foreground" in problem.sentence] == list(
        data.notes()
    )
    assert question(root) is None
    assert (data.load("c0").mask == UNKNOWN).sum() == 60 * (2 in unknown)
    assert not list(folder(root, labels=(1, 2)).notes())
    assert not list(folder(root, classes={"a": 1}).notes())


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_slices_in_which_nothing_is_drawn_are_unknown_on_request(tmp_path, axis):
    mask = np.zeros((16, 16, 16), np.uint8)
    slices = np.moveaxis(mask, {"sagittal": 0, "coronal": 1, "axial": 2}[axis], 0)  # a view
    slices[1::4, 4:9, 4:9], slices[3, 0, 0], slices[9, 0, 0], slices[12, 0, 0] = 1, 255, 255, 2
    write_pair(tmp_path / "set", "one", np.random.default_rng(0).normal(size=mask.shape).astype(np.float32), mask)
    settings = ["data.unknown=[255,empty-slices]", f"data.axis={axis}", "data.labels=[1]"]
    data = make_dataset("folder", parse_settings(settings, tmp_path / "set"))
    assert data.unknown == (255, "empty-slices")
    made = data.load("one").mask
    drawn = made[1:14:4] if made[1].any() and made[1].min() == 0 else made[::-1][1:14:4]
    assert [(plane == 1).sum() for plane in drawn] == [25] * 4
    # the slice of value 2, which is left out, is drawn; that of 255 only is not
    known = (made != UNKNOWN).reshape(16, -1).sum(1)
    assert sorted(known.tolist()) == [0] * 11 + [255] + [256] * 4
    assert (made == 1).sum() == 100
    alone = folder(tmp_path / "set", axis=axis, unknown="empty-slices", labels=(1,))
    assert sorted((alone.load("one").mask != UNKNOWN).reshape(16, -1).all(1).tolist()) == [False] * 10 + [True] * 6
    assert prepare(data).unknown.tolist() == [11 * 256 + 1]


def test_a_name_that_unknown_does_not_know_is_one_sentence(root):
    with pytest.raises(ConfigError, match=r"data\.unknown.* must be a valid integer, got 'empty'"):
        make_dataset("folder", parse_settings(["data.unknown=empty"], root))


WAYS: tuple[dict[str, object], ...] = ({"labels": (1, 255)}, {"unknown": 255}, {"labels": (1,)})


def test_negative_and_large_values_may_be_classes_or_unknown(tmp_path):
    image = np.random.default_rng(0).normal(size=(20, 24, 8)).astype(np.float32)
    mask = np.random.default_rng(1).choice(np.array([-1, 0, 600, 4000], np.int16), image.shape)
    write_pair(tmp_path / "set", "one", image, mask)
    with pytest.raises(
        DataError, match=r"labels of at least 0, '.*' contains -1: correct its labels, or set data.unknown"
    ):
        folder(tmp_path / "set").load("one")
    made = folder(tmp_path / "set", unknown=-1, classes={"a": 4000, "b": 600}).load("one").mask
    assert [(made == label).sum() for label in (UNKNOWN, 0, 1, 2)] == [(mask == v).sum() for v in (-1, 0, 4000, 600)]


def test_background_may_be_unknown_where_only_strokes_are_drawn(root):
    data = folder(root, unknown=0, labels=(2, 3))
    expected = [[np.isin(raw(root, name), of).sum() for of in ((1, 4, 5), (2, 3), (0,))] for name in NAMES]
    np.testing.assert_array_equal(voxels(data), expected)


def test_tasks_of_the_decathlon_have_the_classes_of_dataset_json(tmp_path):
    names = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    task = decathlon_task(tmp_path, "Task01_BrainTumour", name="BRATS", labels=names, modality=modality, count=3)
    data = find(DATASETS, "brain-tumor")(root=str(tmp_path), size=None, target="classes")
    assert data.class_names == tuple(names.values())
    expected = [[(raw(task, name) == value).sum() for value in range(4)] for name in data.cases()]
    np.testing.assert_array_equal(voxels(data)[:, :4], expected)
    own = find(DATASETS, "brain-tumor")(root=str(tmp_path), size=None, classes={"tumor": 3})
    assert own.class_names == ("tumor",)
    assert own.load("BRATS_2").mask.sum() == expected[0][3]


@pytest.mark.parametrize("year", [2019, 2023])
def test_classes_of_brats_have_the_values_of_every_year(tmp_path, year):
    data = find(DATASETS, "brats")(root=str(brats(tmp_path, year, count=3)), size=None, target="classes")
    assert data.class_names == ("necrosis", "edema", "enhancing")
    mask = data.load(data.cases()[0]).mask
    assert [(mask == label).sum() for label in (1, 3)] == [2 * 8 * 8, 8 * 8]
    whole = find(DATASETS, "brats")(root=data.root, size=None).load(data.cases()[0]).mask
    np.testing.assert_array_equal(mask > 0, whole)


def test_an_image_without_mask_is_rejected_or_a_case_without_labels(root):
    (root / "labelsTr" / "c1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"c1.nii.gz' has none in labelsTr/: add it, or set data.unlabeled=skip"):
        folder(root).cases()
    data = folder(root, unlabeled="pool", labels=(1, 2, 3, 4, 5))
    assert tuple(data.cases()) == NAMES
    assert [data.has_mask(case) for case in NAMES] == [True, False, True, True, True]
    assert data.notes() == ["1 images have no mask and are only in the training set, without labels"]
    volume = data.load("c1")
    assert volume.image.shape == (1, 8, 24, 21)
    assert (volume.mask == UNKNOWN).all()
    prepared = prepare(data)
    assert prepared.unknown.tolist() == [0, 21 * 24 * 8, 0, 0, 0]
    assert not prepared.stack(("c1",)).annotatable.any()


def test_a_case_without_mask_is_in_the_training_set_of_a_run(root):
    (root / "labelsTr" / "c1.nii.gz").unlink()
    for seed in range(4):
        settings = {
            "data.root": str(root),
            "data.unlabeled": "pool",
            "data.labels": [1, 2],
            "protocol.split": [2, 1, 1],
        }
        resolved = resolve("random", "folder", settings=settings | {"protocol.split_seed": seed})
        assert "c1" in resolved.split.train
        assert [len(part) for part in (resolved.split.train, resolved.split.val, resolved.split.test)] == [3, 1, 1]


def test_the_budget_counts_slices_that_can_be_queried(root):
    deep = np.random.default_rng(0).normal(size=(20, 24, 900)).astype(np.float32)
    write_pair(root, "c5", deep, (deep > 1).astype(np.uint8))
    assert folder(root).defaults()["protocol.budget"] == 13
    (root / "labelsTr" / "c5.nii.gz").unlink()
    assert folder(root, unlabeled="pool").defaults()["protocol.budget"] == 10


def test_images_without_masks_are_named_as_the_others_are(tmp_path):
    image = np.random.default_rng(0).normal(size=(20, 24, 8)).astype(np.float32)
    mask = (image > 1).astype(np.uint8)
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        write_pair(tmp_path / "numbered", name, image, mask)
        (tmp_path / "numbered" / "labelsTr" / f"{name}.nii.gz").replace(
            tmp_path / "numbered" / "labelsTr" / f"{name[0]}.nii.gz"
        )
    (tmp_path / "numbered" / "labelsTr" / "b.nii.gz").unlink()
    data = folder(tmp_path / "numbered", unlabeled="pool")
    assert [(case, data.has_mask(case), len(data.load(case).image)) for case in data.cases()] == [
        ("a", True, 2),
        ("b", False, 2),
    ]
    for name in ("a_0000", "b_0000", "b_0001"):
        write_pair(tmp_path / "equal", name, image, mask)
    (tmp_path / "equal" / "labelsTr" / "b_0001.nii.gz").unlink()
    assert list(folder(tmp_path / "equal", unlabeled="pool").cases()) == ["a_0000", "b_0000", "b_0001"]


def test_a_list_may_leave_masks_empty(root):
    rows = [f"imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz,p{name}" for name in NAMES]
    rows[2] = "imagesTr/c2.nii.gz,,pc0"
    (root / "list.csv").write_text("\n".join(["image,mask,patient", *rows]))
    with pytest.raises(DataError, match=r"c2.nii.gz' has none: add it, or set data.unlabeled=skip"):
        folder(root / "list.csv").cases()
    data = folder(root / "list.csv", unlabeled="pool")
    assert list(data.cases()) == ["pc0-c0", "pc0-c2", "pc1", "pc3", "pc4"]
    assert [data.has_mask(case) for case in data.cases()] == [True, False, True, True, True]
    volumes = [{"image": f"imagesTr/{n}.nii.gz", "mask": f"labelsTr/{n}.nii.gz"} for n in NAMES[:4]]
    content = {"unlabeled": "pool", "volumes": [*volumes, {"image": ["imagesTr/c4.nii.gz"]}]}
    (root / "list.yaml").write_text(json.dumps(content))
    assert [folder(root / "list.yaml").has_mask(case) for case in NAMES] == [True] * 4 + [False]


def test_dataset_json_may_list_images_without_masks_but_not_missing_files(root):
    (root / "labelsTr" / "c0.nii.gz").unlink()
    entries = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in NAMES[1:]]
    describe(root, {}, training=[{"image": "./imagesTr/c0.nii.gz"}, *entries])
    assert [folder(root, unlabeled="pool").has_mask(case) for case in NAMES] == [False] + [True] * 4
    describe(root, {}, training=[{"image": "./imagesTr/c0.nii.gz", "label": "./labelsTr/c0.nii.gz"}, *entries])
    with pytest.raises(DataError, match=r"labelsTr/c0.nii.gz' must exist, dataset.json lists it: add the file"):
        folder(root, unlabeled="pool").cases()


def test_a_case_of_brats_may_have_no_mask(tmp_path):
    root = brats(tmp_path, 2021, count=3)
    (root / "BraTS2021_00002" / "BraTS2021_00002_seg.nii.gz").unlink()
    with pytest.raises(DataError, match=r"BraTS2021_00002_flair.nii.gz' has none: add it"):
        find(DATASETS, "brats")(root=str(root)).cases()
    data = find(DATASETS, "brats")(root=str(root), unlabeled="pool", size=None)
    assert [data.has_mask(case) for case in data.cases()] == [True, False, True]
