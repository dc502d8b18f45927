import dataclasses

import numpy as np
import pytest
from support.samples import TINY

from albench.annotation.people import People, PeopleRun
from albench.errors import StrategyError
from albench.masks import UNKNOWN
from albench.oracle import MaskOracle
from albench.query import OracleDraw
from albench.resolve import resolve
from albench.runs.records import MaskQuality


@pytest.fixture
def truth(tiny):
    return tiny.labeled_stack(tiny.cases[:4])


def test_a_query_waits_until_it_is_answered_and_then_costs_what_a_set_of_masks_costs(truth):
    ids = [9, 3, 5]
    answer = {i: truth.masks(np.array([i]))[0] for i in sorted(ids)}
    people, masks = People(truth.slices, []), MaskOracle(truth)
    assert not people.waiting
    assert people.annotate(ids, 3) == {}
    assert people.waiting
    assert people.annotation_cost().slices == 0
    answered = People(truth.slices, [answer])
    given, expected = answered.annotate(ids, 3), masks.annotate(ids, 3)
    assert list(given) == list(expected) == ids
    assert all(np.array_equal(given[i], expected[i]) for i in ids)
    assert not given[3].flags.writeable
    assert answered.annotation_cost() == masks.annotation_cost()
    assert (answered.waiting, masks.waiting) == (False, False)
    assert (answered.kept, masks.kept) == (answer, None)
    answered.annotate([1], 1)
    assert answered.waiting


def test_what_was_drawn_without_being_asked_for_counts_and_is_labeled(truth):
    blank = np.zeros(truth.slices.shape[1:], np.uint8)
    people = People(truth.slices, [{7: blank.copy(), 2: blank.copy(), 5: blank.copy()}])
    assert list(people.annotate([5], 1)) == [5, 2, 7]
    assert people.annotation_cost().slices == 3
    with pytest.raises(StrategyError, match=r"^a query must name unlabeled slices, slice 7 .* is labeled already"):
        people.annotate([7], 1)


def test_nobody_knows_the_truth_of_what_is_not_drawn(truth):
    people = People(truth.slices, [])
    mask = truth.masks(np.array([3]))[0]
    share, empty = float((mask > 0).mean()), float(not mask.any())
    assert people.evaluate_masks({3: mask}) == MaskQuality(1, empty, share, None, None)
    ids = np.arange(len(truth.slices))
    with pytest.raises(StrategyError, match=r"^a strategy that draws by the truth of unlabeled slices needs a set of"):
        people.draw(OracleDraw(1, ids, ids), 2)


@pytest.mark.parametrize("size", [[32, 32], [48, 32]])
def test_labels_are_unknown_only_where_people_left_them_out(size):
    made = resolve("random", "phantom", settings=TINY | {"data.size": size})
    fields = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    slices = PeopleRun(**fields).pool()
    assert (slices.known, slices.annotatable.all()) == (None, True)
    height, width = slices.valid[3]
    part = np.zeros(slices.shape[1:], np.uint8)
    part[: height // 2, :width] = UNKNOWN
    whole = np.zeros_like(part)
    slices = PeopleRun(**fields, answers=({1: whole}, {3: part})).pool()
    assert slices.annotatable.all()
    for i in range(len(slices)):
        expected = np.zeros_like(part)
        expected[height // 2 if i == 3 else 0 : height, :width] = 1
        np.testing.assert_array_equal(slices.known[i], expected)
