import numpy as np
import pytest
import torch
from support.learners import padded

from albench.masks import UNKNOWN, PackedMasks
from albench.training.packing import _pack, pack_predictions, unpacked


@pytest.mark.parametrize("width", [1, 7, 8, 9, 48])
@pytest.mark.parametrize("classes", [1, 2, 3, 32])
def test_label_maps_are_packed_as_on_the_cpu(width, classes):
    labels = np.random.default_rng(width).integers(0, classes + 1, (5, 3, width)).astype(np.uint8)
    labels[0, 0, 0] = classes
    expected = PackedMasks.of(np.arange(5), labels).packed
    assert np.array_equal(_pack(torch.from_numpy(labels), expected.shape[1]).numpy(), expected)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 48])
@pytest.mark.parametrize("labels", [[0, 1], [0, 1, UNKNOWN], [0, 1, 2], [0, 1, 2, 3, UNKNOWN], [0, 32, UNKNOWN]])
def test_label_maps_are_unpacked_as_on_the_cpu(width, labels):
    masks = np.random.default_rng(width).choice(np.array(labels, dtype=np.uint8), (5, 3, width))
    packed = PackedMasks.of(np.arange(5), masks)
    found = unpacked(packed, np.array([3, 0]), torch.device("cpu"))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), masks[[3, 0]])


def test_predictions_in_any_order_are_found_by_their_ids():
    slices = padded().slices
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (5, 32, 48)).astype(np.uint8))
    ids = np.array([6, 1, 0, 3, 4])
    packed = pack_predictions(slices, np.sort(ids), [(ids[:3], masks[:3]), (ids[3:], masks[3:])])
    assert packed.ids.tolist() == [0, 1, 3, 4, 6]
    assert all(np.array_equal(packed[i], mask.numpy()) for i, mask in zip(ids.tolist(), masks, strict=True))
