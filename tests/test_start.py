from dataclasses import replace

import numpy as np
import pytest
from support.samples import slices_without_images as stack

from albench.masks import PackedMasks
from albench.start import start_slices
from albench.streams import Streams

DEPTHS = (31, 40, 25, 18, 36)


@pytest.mark.parametrize(("depth", "count"), [(155, 16), (100, 10), (101, 11), (8, 1), (2, 1)])
def test_at_intervals_every_tenth_slice_of_each_case_is_labeled(depth, count):
    slices = stack(depth, depth)
    chosen = start_slices(slices, "interval", 10, Streams(0, "x"))
    assert slices.position[chosen].tolist() == 2 * list(range(0, depth, 10))
    assert len(chosen) == 2 * count


@pytest.mark.parametrize(
    ("depth", "interval", "places"),
    [
        (1, 10, [0]),
        (2, 10, [1]),
        (3, 10, [1]),
        (4, 10, [1, 2]),
        (5, 10, [1, 3]),
        (8, 10, [2, 5]),
        (11, 10, [3, 7]),
        (21, 10, [4, 10, 16]),
        (40, 10, [5, 15, 24, 34]),
        (8, 2, [1, 3, 4, 6]),
        (6, 1, [1, 2, 3, 4]),
    ],
)
def test_initial_slices_inside_leave_out_the_ends_and_are_at_least_two(depth, interval, places):
    slices = stack(30, depth)
    chosen = start_slices(slices, "inside", interval, Streams(0, "x"))
    assert slices.position[chosen[slices.case[chosen] == 1]].tolist() == places


@pytest.mark.parametrize("start", ["interval", "inside", "cases", "slices", "few-cases"])
def test_of_cases_of_one_slice_every_tenth_is_labeled(start):
    slices = replace(stack(*[1] * 60), cases=tuple(map(str, range(60))))
    chosen = start_slices(slices, start, 10, Streams(0, "x"))
    assert len(set(chosen.tolist())) == len(chosen) == 6
    if start in ("interval", "inside"):
        assert np.diff(chosen).tolist() == pytest.approx(5 * [10], abs=1)


def test_random_slices_are_as_many_as_at_intervals():
    slices = stack(*DEPTHS)
    chosen = [start_slices(slices, "slices", 10, Streams(seed, "x")) for seed in range(300)]
    assert {len(set(ids.tolist())) for ids in chosen} == {4 + 4 + 3 + 2 + 4}
    counts = np.bincount(np.concatenate(chosen), minlength=len(slices))
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean()), "every slice is as likely as any other"


def test_whole_cases_are_labeled_until_the_next_would_be_too_many():
    slices = stack(*DEPTHS)
    for seed in range(20):
        chosen = start_slices(slices, "cases", 3, Streams(seed, "x"))  # 52 slices at intervals
        cases = np.unique(slices.case[chosen])
        assert chosen.tolist() == np.flatnonzero(np.isin(slices.case, cases)).tolist()
        assert len(chosen) <= 52
        assert len(cases) >= 1
    assert len(start_slices(slices, "cases", 100, Streams(0, "x"))) in DEPTHS, "at least one case"


def test_few_cases_are_labeled_four_times_as_densely():
    slices = stack(*DEPTHS)
    chosen = start_slices(slices, "few-cases", 12, Streams(0, "x"))
    assert len(chosen) == sum(-(-depth // 12) for depth in DEPTHS)
    cases, counts = np.unique(slices.case[chosen], return_counts=True)
    assert len(cases) == 2
    for case, count in zip(cases, counts, strict=True):
        assert slices.position[chosen[slices.case[chosen] == case]].tolist() == list(range(0, 3 * count, 3))


@pytest.mark.parametrize("start", ["cases", "slices", "few-cases"])
def test_a_start_depends_on_the_seed_and_on_nothing_else(start):
    slices = stack(*DEPTHS)
    one, again, other = (start_slices(slices, start, 10, Streams(seed, "x")) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist() == sorted(one.tolist())
    assert one.tolist() != other.tolist()


@pytest.mark.parametrize("start", ["interval", "inside", "cases", "slices", "few-cases"])
@pytest.mark.parametrize("first", [0, 5])
def test_where_every_tenth_slice_is_drawn_every_tenth_of_those_is_labeled(start, first):
    slices = stack(*[200] * 4)
    known = (slices.position % 10 == first).astype(np.uint8)[:, None, None].repeat(16, 1).repeat(16, 2)
    known[slices.case == 3] = 0
    partly = replace(slices, known=PackedMasks.of(np.arange(len(slices)), known))
    chosen = start_slices(partly, start, 10, Streams(0, "x"))
    assert partly.annotatable[chosen].all()
    assert 0 < len(chosen) <= 20
    if start == "interval":
        assert slices.position[chosen].tolist() == 3 * [first, first + 100]
