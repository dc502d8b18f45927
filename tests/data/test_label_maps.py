"""Classes and unknown pixels from a dataset to the slices of a prepared set."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label
from support.samples import write_pair

from albench.data import Dataset, LabelCounts, Volume, check_options, check_volume, prepare, set_problems, split_volumes
from albench.data.preprocessing import fit_to
from albench.data.problems import CaseSummary
from albench.errors import ConfigError, DataError
from albench.masks import MOST_CLASSES, UNKNOWN
from albench.registry import DATASETS, find

LABELS = np.array([0, 1, 2, 3, UNKNOWN], dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


@dataclass(frozen=True, kw_only=True)
class Partial(Dataset):
    """Three classes; in `b` some labels are unknown, `c` has no mask."""

    @property
    def class_names(self):
        return ("liver", "vein", "tumor")

    def cases(self):
        return ["a", "b", "c"]

    def has_mask(self, case):
        return case != "c"

    def load(self, case):
        size = {"a": (3, 20, 30), "b": (4, 33, 17), "c": (2, 16, 16)}[case]
        rng = np.random.default_rng(ord(case))
        mask = rng.choice(LABELS[:4] if case == "a" else LABELS, size)
        if case == "b":
            mask[2] = UNKNOWN
        if case == "c":
            mask[:] = UNKNOWN
        return Volume(rng.normal(100, 20, (1, *size)).astype(np.float32), mask.astype(np.uint8), (3.0, 1.0, 1.0))


def interpolated(values, shape):
    """(d, h, w) values as `fit_to` scales images."""
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(values.astype(np.float32))[:, None], shape, mode="bilinear", antialias=True
    )
    return scaled[:, 0].numpy()


def rescaled(mask, size, spacing=(2.0, 1.5, 1.0)):
    image = np.random.default_rng(1).random((2, *mask.shape)).astype(np.float32)
    return fit_to(Volume(image, mask, spacing), size).mask


@pytest.mark.parametrize("size", [(16, 16), (24, 24), (48, 48)])
def test_every_object_keeps_its_volume_and_its_innermost_pixels(size):
    rng = np.random.default_rng(0)
    mask = np.zeros((9, 40, 60), np.uint8)
    places = [(z, y, x) for z in (0, 4, 8) for y in (4, 20, 34) for x in (4, 20, 36, 54)]
    for z, y, x in places:  # farther apart than the filter is wide
        mask[z, y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = 1
    made = rescaled(mask, size, (1.0, 1.0, 1.0))
    parts = interpolated(mask, made.shape[1:])
    objects, number = label(parts > 1e-6, np.ones((3, 3, 3)))
    assert number >= 30  # at the smallest size, a few are joined
    for index in range(1, number + 1):
        inside = objects == index
        kept = made[inside] > 0
        assert kept.sum() == max(1, round(parts[inside].sum()))
        assert parts[inside][kept].min() >= parts[inside][~kept].max(initial=0)
    assert made[objects == 0].sum() == 0


def test_a_large_smooth_object_is_what_a_threshold_at_one_half_gives_but_for_its_edge():
    y, x = np.ogrid[:60, :60]
    mask = np.broadcast_to(((y - 30) ** 2 + (x - 28) ** 2 <= 20**2).astype(np.uint8), (5, 60, 60))
    made = rescaled(mask, (32, 32), (1.0, 1.0, 1.0))
    part = interpolated(mask, (32, 32))
    assert (made == (part >= 0.5))[np.abs(part - 0.5) > 0.05].all()
    assert made.sum() == round(part.sum())


@pytest.mark.parametrize("size", [(16, 16), (48, 48)])
def test_every_class_keeps_its_volume_in_the_foreground_of_all(size):
    y, x = np.ogrid[:48, :60]
    mask = np.zeros((4, 48, 60), np.uint8)
    mask[:, (y - 24) ** 2 + (x - 30) ** 2 <= 20**2] = 3
    mask[:, (y - 24) ** 2 + (x - 24) ** 2 <= 8**2] = 1
    mask[1, 20:22, 40:42] = 2  # a small object within a large one
    made = rescaled(mask, size, (1.0, 1.0, 1.0))
    worth = made[0].size / mask[0].size
    for value, tolerance in ((1, 0.06), (3, 0.06), (2, 0.0)):
        wanted = max(1, interpolated(mask == value, made.shape[1:]).sum())
        assert abs((made == value).sum() - wanted) <= max(0.5, tolerance * wanted), value
        assert abs(wanted - (mask == value).sum() * worth) <= max(1, 0.02 * wanted)
    whole = interpolated(mask > 0, made.shape[1:])
    assert (made > 0).sum() == round(whole.sum())


def test_a_pixel_is_unknown_where_at_least_half_of_it_is():
    rng = np.random.default_rng(0)
    mask = np.repeat(np.repeat(rng.choice(LABELS, (6, 10, 15)), 2, 1), 2, 2)
    for size in ((16, 16), (48, 48)):
        made = rescaled(mask, size)
        part = interpolated(mask == UNKNOWN, made.shape[1:])
        clear = np.abs(part - 0.5) > 1e-5
        np.testing.assert_array_equal((made == UNKNOWN)[clear], (part >= 0.5)[clear])
        assert set(np.unique(made)) == set(LABELS.tolist())


def test_what_is_unknown_does_not_count_in_the_part_of_a_pixel():
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 8:24, 8:24] = 1
    mask[0, 8:24:2, 8:24:2] = UNKNOWN  # a quarter of every pixel
    made = rescaled(mask, (16, 16), (1.0, 1.0, 1.0))
    assert (made[0, 5:11, 5:11] == 1).all()
    assert UNKNOWN not in made


def test_a_mask_without_any_known_label_stays_unknown():
    assert (rescaled(np.full((2, 20, 30), UNKNOWN, np.uint8), (16, 16)) == UNKNOWN).all()


@given(arrays(np.uint8, (4, 3, 5), elements=st.sampled_from(LABELS.tolist())))
def test_labels_are_counted_as_by_numpy(mask):
    counts = LabelCounts.of(mask, 3)
    assert counts.classes == tuple(int((mask == label).sum()) for label in (1, 2, 3))
    assert counts.unknown == (mask == UNKNOWN).sum()
    assert counts.foreground == ((mask > 0) & (mask < UNKNOWN)).sum()
    assert (counts.voxels, counts.slices) == (60, 4)
    assert counts.filled == sum(((plane > 0) & (plane < UNKNOWN)).any() for plane in mask)
    assert counts.unlabeled == sum((plane == UNKNOWN).all() for plane in mask)


@pytest.mark.parametrize(
    ("slices", "step"),
    [
        ("0100010001000", 4),
        ("010001000000010", 4),
        ("1010100", 2),
        ("0111000", 1),
        ("10010110", 1),
        ("100100", None),  # two are too few
        ("0000", None),
        ("1??1??1??", 1),  # nobody has drawn the slices between
        ("1?01??1", 3),
        ("????", None),
        ("0001000100010001", 4),
        ("100010001000100010010", 4),  # one distance of five is an exception
        ("1001001001", 3),
        ("10010010011", 1),  # one of four
        ("1001011", 1),
    ],
)
def test_the_step_between_slices_with_foreground_is_that_of_most_of_them(slices, step):
    mask = np.zeros((len(slices), 2, 2), np.uint8)
    mask[[letter == "?" for letter in slices]] = UNKNOWN
    mask[[letter == "1" for letter in slices], 0, 0] = 1
    assert LabelCounts.of(mask, 1).step == step


def test_a_prepared_set_keeps_classes_and_knows_which_labels_are_known():
    prepared = prepare(Partial())
    assert prepared.classes == ("liver", "vein", "tumor")
    labeled = prepared.labeled_stack(("c", "a", "b"))
    stack = labeled.slices
    assert stack.classes == prepared.classes
    for index, case in enumerate(stack.cases):
        mask = Partial().load(case).mask
        depth, height, width = mask.shape
        truth, known = labeled.masks(stack.of(index)), stack.known.stack(stack.of(index))
        np.testing.assert_array_equal(truth[:, :height, :width], mask)
        np.testing.assert_array_equal(known[:, :height, :width], mask != UNKNOWN)
        assert truth.sum(dtype=int) == mask.sum(dtype=int)  # padding is background
        assert known.sum() == (mask != UNKNOWN).sum()  # and not known
        assert len(truth) == depth
    assert stack.annotatable.tolist() == [False] * 2 + [True] * 3 + [True, True, False, True]


def test_cases_whose_labels_are_all_known_need_no_second_mask():
    prepared = prepare(Partial())
    complete, partly = prepared.labeled_stack(("a",)), prepared.labeled_stack(("a", "b"))
    assert complete.slices.known is None
    assert complete.slices.annotatable.all()
    assert (complete.truth.packed.shape[1], partly.truth.packed.shape[1]) == (3, 3)
    assert prepare(find(DATASETS, "phantom")(count=3, depth=8, side=32)).unknown is None


def test_scaled_labels_are_counted_on_the_working_grid():
    prepared = prepare(Partial(size=(16, 16)))
    assert prepared.masks.shape[1:] == (16, 16)
    for index, count in enumerate(prepared.unknown):
        rows = prepared.stack((prepared.cases[index],)).rows
        assert (prepared.masks[rows] == UNKNOWN).sum() == count


@pytest.mark.parametrize(
    ("classes", "value", "sentence"),
    [
        (("foreground",), 2, "of 0, 1 for its class and 255 where the label is unknown, got 2: make the target 1"),
        (("a", "b", "c"), 7, "of 0, 1 to 3 for its 3 classes and 255 where the label is unknown, got 7"),
        (("foreground",), 254, "got 254"),
    ],
)
def test_a_value_of_no_class_is_rejected(classes, value, sentence):
    image = np.random.default_rng(0).normal(size=(1, 2, 16, 16)).astype(np.float32)
    mask = np.full((2, 16, 16), UNKNOWN, np.uint8)
    mask[0] = len(classes)
    check_volume(Volume(image, mask, (1.0, 1.0, 1.0)), "a", None, classes)
    mask[0, 0, 0] = value
    with pytest.raises(DataError, match=sentence):
        check_volume(Volume(image, mask, (1.0, 1.0, 1.0)), "a", None, classes)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "a dataset must have 1 to 32 classes, 'partial' has 0: name the structures"),
        (tuple(map(str, range(MOST_CLASSES + 1))), "a dataset must have 1 to 32 classes, 'partial' has 33"),
        (("a", "b", "a"), "every class must have a name of its own, 'a' names two of dataset 'partial': rename"),
    ],
)
def test_names_of_classes_are_at_most_32_and_differ(names, sentence, monkeypatch):
    check_options(Partial())
    monkeypatch.setattr(Partial, "class_names", names)
    with pytest.raises(ConfigError, match=sentence):
        check_options(Partial())


def warnings(*masks, classes=("a", "b")):
    counts = [LabelCounts.of(np.asarray(mask, np.uint8), len(classes)) for mask in masks]
    summaries = [CaseSummary(str(index), "", 1, labels, (16, 16)) for index, labels in enumerate(counts)]
    problems = list(set_problems("set", classes, summaries))
    assert not any(problem.serious for problem in problems)
    return [problem.sentence for problem in problems]


def test_what_deserves_a_look_in_the_masks_is_a_warning():
    both = np.zeros((4, 2, 2), np.uint8)
    both[1:3, 0], both[1:3, 1] = 1, 2
    assert warnings(both, both) == []
    (absent,) = warnings(both % 2)
    assert absent.startswith("class 'b' should occur in dataset 'set', no mask contains it: check its values or leave")
    partly = both.copy()
    partly[3], partly[0, 0, 0] = UNKNOWN, UNKNOWN
    (unknown,) = warnings(both, partly, np.full_like(both, UNKNOWN))
    assert "those of 43.75% of its voxels are not, with 5 of 12 slices and 1 of 3 cases without any label" in unknown


def test_foreground_in_every_nth_slice_of_most_cases_is_a_warning():
    sparse, dense, small = (np.zeros((13, 2, 2), np.uint8) for _ in range(3))
    sparse[::4], dense[3:7], small[[1, 5]] = 1, 1, 1
    (warning,) = warnings(sparse, sparse, dense, small, small, classes=("a",))
    assert "in 2 of 3 cases foreground stands in one of 4 slices only" in warning
    assert "count as background: use --set data.unknown=empty-slices if nobody has drawn them" in warning
    assert warnings(sparse, dense, small, classes=("a",)) == []
    (half,) = warnings(sparse, sparse, dense, dense, classes=("a",))
    assert "in 2 of 4 cases foreground stands in one of 4 slices only" in half
    assert warnings(sparse, sparse, *[dense] * 3, classes=("a",)) == []
    many = np.zeros((25, 2, 2), np.uint8)
    many[3::5] = 1
    (some,) = warnings(many, many, sparse, *[dense] * 17, classes=("a",))
    assert "in 2 of 20 cases foreground stands in one of 5 slices only" in some
    assert warnings(many, many, *[dense] * 19, classes=("a",)) == []
    assert warnings(many, *[dense] * 4, classes=("a",)) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=6, max_size=40), st.integers(0, 3))
def test_cases_without_masks_are_only_in_the_training_set(drawn, seed):
    cases = [f"case{index:02d}" for index in range(len(drawn))]
    patients = [f"patient{number}" for number, _ in drawn]
    of = dict(zip(cases, patients, strict=True))
    unlabeled = {case for case, (_, masked) in zip(cases, drawn, strict=True) if not masked}
    labeled = [case for case in cases if case not in unlabeled]
    assume(len({of[case] for case in labeled}) >= 4)
    parts = (0.5, 0.25, 0.25)
    split = split_volumes(cases, patients, parts, seed, unlabeled=unlabeled)
    assert not unlabeled & {*split.val, *split.test}
    groups = [{of[case] for case in part} for part in (split.train, split.val, split.test)]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    without = split_volumes(labeled, [of[case] for case in labeled], parts, seed)
    assert (split.val, split.test) == (without.val, without.test)
    assert set(split.train) - unlabeled == set(without.train)
    assert {case for case in unlabeled if of[case] not in groups[1] | groups[2]} == unlabeled & set(split.train)
    assert list(split.train) == sorted(split.train)


def test_the_phantom_with_two_parts_has_its_core_as_a_class():
    phantom = find(DATASETS, "phantom")
    one, two = phantom(), phantom(parts=2)
    assert (one.class_names, two.class_names) == (("foreground",), ("organ", "core"))
    for case in one.cases()[:3]:
        whole, parts = one.load(case), two.load(case)
        np.testing.assert_array_equal(whole.image, parts.image)
        np.testing.assert_array_equal(whole.mask, parts.mask > 0)
        image, mask = parts.image[0], parts.mask
        assert 0.05 < (mask == 2).sum() / (mask > 0).sum() < 0.5
        assert image[mask == 2].mean() < image[mask == 1].mean()


def test_a_case_without_a_known_label_cannot_be_validated_or_tested(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "set"
    for index in range(6):
        mask = np.full((16, 16, 4), 9 if index == 2 else 1, np.uint8)
        write_pair(root, f"c{index}", np.random.default_rng(index).normal(size=mask.shape).astype(np.float32), mask)
    prepared = prepare(find(DATASETS, "folder")(root=str(root), unknown=9))
    prepared.check_drawn(("c0", "c1"), ("c3",))
    for parts in ((("c2",), ()), ((), ("c0", "c2"))):
        with pytest.raises(DataError, match=r"a case of the validation or test part must have a known label, 'c2' has"):
            prepared.check_drawn(*parts)
