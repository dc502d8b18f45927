import numpy as np
import pytest

from albench.errors import StrategyError
from albench.pool import Oracle, Pool, initial_slices
from albench.runs.records import MaskQuality


@pytest.fixture
def oracle(tiny):
    return Oracle(tiny.labeled_stack(tiny.cases[:4]))


@pytest.fixture
def pool(tiny):
    return Pool(tiny.stack(tiny.cases[:4]))


@pytest.mark.parametrize(("depth", "count"), [(155, 16), (100, 10), (101, 11), (8, 1), (1, 1)])
def test_initial_slices_are_every_tenth_slice_of_each_case(tiny, depth, count):
    from dataclasses import replace

    position = np.concatenate([np.arange(depth), np.arange(depth)])
    chosen = initial_slices(replace(tiny.stack(tiny.cases[:1]), position=position), 10)
    assert len(chosen) == 2 * count
    assert position[chosen].tolist() == 2 * list(range(0, depth, 10))


def test_an_annotated_mask_is_the_truth_and_can_be_read(oracle, pool, tiny):
    masks = oracle.annotate([4, 0], 2)
    pool = pool.with_masks(masks)
    truth = tiny.labeled_stack(tiny.cases[:4]).masks(np.array([0, 4]))
    np.testing.assert_array_equal(pool.mask(0), truth[0])
    np.testing.assert_array_equal(pool.mask(4), truth[1])
    assert pool.labeled.tolist() == [0, 4]
    assert len(pool.unlabeled) == len(pool.slices) - 2
    assert not set(pool.labeled) & set(pool.unlabeled)


def test_the_mask_of_an_unlabeled_slice_cannot_be_read(oracle, pool):
    pool = pool.with_masks(oracle.annotate([1], 1))
    with pytest.raises(StrategyError, match=r"only masks of labeled slices can be read, slice 2 \(case phantom-000, "):
        pool.mask(2)


def test_an_annotated_mask_cannot_be_changed(oracle):
    with pytest.raises(ValueError, match="read-only"):
        oracle.annotate([1], 1)[1][0, 0] = 1


def test_a_bad_query_is_one_sentence_and_nothing_is_annotated(oracle):
    oracle.annotate([3], 1)
    for ids, budget, sentence in [
        ([1, 2, 4], 2, "at most 2 slices, got 3"),
        ([1, 1], 2, "each slice once, slice 1 .* is repeated"),
        ([3], 1, "must name unlabeled slices, slice 3 .* is labeled already"),
        ([999], 1, "must name slices of the pool, 0 to .*, got 999"),
        ([-1], 1, "must name slices of the pool, 0 to .*, got -1"),
    ]:
        with pytest.raises(StrategyError, match=sentence):
            oracle.annotate(ids, budget)
    assert oracle.queries == [(3,)]


def test_masks_are_evaluated_against_the_hidden_truth(oracle, tiny):
    labeled = tiny.labeled_stack(tiny.cases[:4])
    truth = labeled.masks(np.arange(len(labeled.slices)))
    perfect = oracle.evaluate_masks(dict(enumerate(truth)))
    assert perfect == MaskQuality(count=len(truth), foreground_share=truth.mean(), dice=1, dice_foreground=1)
    empty = oracle.evaluate_masks({i: np.zeros_like(mask) for i, mask in enumerate(truth)})
    assert empty.dice == pytest.approx(np.mean([not mask.any() for mask in truth]), abs=1e-6)
    assert empty.dice_foreground == pytest.approx(0, abs=1e-5)
    assert oracle.evaluate_masks({}) == MaskQuality(0, None, None, None)
