import numpy as np
import pytest

from albench.errors import StrategyError
from albench.oracle import MaskOracle
from albench.pool import Pool


@pytest.fixture
def oracle(tiny):
    return MaskOracle(tiny.labeled_stack(tiny.cases[:4]))


@pytest.fixture
def pool(tiny):
    return Pool(tiny.stack(tiny.cases[:4]))


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


def test_masks_come_by_ascending_id_whatever_the_order_of_annotation(tiny):
    stack = tiny.labeled_stack(tiny.cases[:4])
    pool = Pool(stack.slices)
    for i in (7, 2, 5):
        pool = pool.with_masks({i: stack.masks(np.array([i]))[0]})
    assert list(pool.masks()) == [2, 5, 7]
    assert all(np.array_equal(mask, pool.mask(i)) for i, mask in pool.masks().items())
