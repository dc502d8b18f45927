import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albench.masks import PackedMasks


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 40))
def test_packing_is_lossless(count, height, width):
    masks = (np.random.default_rng(count).random((count, height, width)) > 0.5).astype(np.uint8)
    ids = np.arange(count) * 3 + 1
    packed = PackedMasks.of(ids, masks)
    assert list(packed) == ids.tolist()
    assert len(packed) == count
    for slice_id, mask in packed.items():
        np.testing.assert_array_equal(mask, masks[(slice_id - 1) // 3])
    np.testing.assert_array_equal(packed.stack(ids[::-1]), masks[::-1])
    assert 0 not in packed
    assert 3 * count + 1 not in packed


def test_a_stream_of_masks_is_sorted_by_id():
    masks = np.stack([np.full((2, 2), i % 2, np.uint8) for i in range(5)])
    parts = [(np.array([3, 4]), masks[3:]), (np.array([2, 0, 1]), masks[[2, 0, 1]])]
    packed = PackedMasks.collect(np.array([4, 0, 1, 2, 3]), (2, 2), parts, planes=1)
    assert list(packed) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(packed.stack(np.arange(5)), masks)
    some = packed.only([4, 1])
    assert list(some) == [1, 4]
    with pytest.raises(KeyError):
        some[2]
