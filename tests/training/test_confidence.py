import numpy as np
import pytest
import torch

from albench.masks import UNKNOWN
from albench.metrics import dice
from albench.training.confidence import THRESHOLDS, ThresholdCounts, confidence, count_thresholds

VALID = np.s_[:, :13, :9]  # of slices that are padded to 16 x 16


@pytest.fixture
def case():
    """Probabilities, some of them exactly at a threshold and high ones in the padding, valid pixels and truth."""
    rng = np.random.default_rng(0)
    probs = rng.random((5, 16, 16)).astype(np.float32)
    probs[0, 0, :5] = [0.5, 0.25, 0.99, 0.01, 0.0]
    valid = np.zeros_like(probs)
    valid[VALID] = 1
    truth = (probs + rng.normal(0, 0.3, probs.shape) > 0.6).astype(np.uint8) * valid.astype(np.uint8)
    probs[:, 14:] = 1.0
    return probs, valid, truth


def collected(batches):
    return ThresholdCounts.collect(torch.stack(batches).numpy())


def counted(probs, valid, truth, size=5):
    parts = [slice(start, start + size) for start in range(0, len(probs), size)]
    return collected(
        [count_thresholds(*(torch.from_numpy(x[part]) for x in (probs[:, None], valid, truth))) for part in parts]
    )


def test_the_dice_at_every_threshold_is_that_of_the_mask_at_that_threshold(case):
    probs, _, truth = case
    expected = [dice((probs[VALID] >= np.float32(t)).astype(np.uint8), truth[VALID]) for t in THRESHOLDS]
    found = counted(*case)
    np.testing.assert_allclose(found.dice(), expected, rtol=1e-12)
    assert found.highest == probs[VALID].max() < 1


def test_counts_do_not_depend_on_the_size_of_batches(case):
    one, other = counted(*case, size=5), counted(*case, size=2)
    np.testing.assert_array_equal(one.dice(), other.dice())
    assert one.highest == other.highest


def test_the_threshold_is_the_best_on_the_validation_cases_and_the_nearest_to_a_half_of_equal_ones(case):
    probs, valid, truth = case
    half = counted(probs / 2, valid, truth)
    found = confidence([half, half], [half])
    assert found.threshold == pytest.approx(THRESHOLDS[half.dice().argmax()])
    assert found.test_dice == found.val_dice == half.dice().max() > half.dice()[49]
    sure = counted(np.where(truth, 0.9, 0.1).astype(np.float32), valid, truth)
    assert confidence([half], [sure]).threshold == 0.5
    assert confidence([half], [sure]).test_dice == pytest.approx(half.dice()[49])


def test_several_classes_are_one_foreground(case):
    probs, valid, truth = case
    parts = np.stack([1 - probs, probs / 4, 3 * probs / 4], 1)
    labels = truth * (1 + (np.arange(16) % 2)).astype(np.uint8)
    several = collected([count_thresholds(*map(torch.from_numpy, (parts, valid, labels)))])
    np.testing.assert_array_equal(several.dice(), counted(*case).dice())


def test_the_sum_of_many_classes_is_at_most_1():
    several, ones = torch.full((1, 3, 16, 16), 0.5 + 1e-7), torch.ones(1, 16, 16)
    assert several[:, 1:].sum(1).max() > 1
    assert collected([count_thresholds(several, ones, ones)]).highest == 1


def test_pixels_whose_label_is_unknown_are_not_counted(case):
    probs, valid, truth = case
    truth[:, 3:6] = UNKNOWN
    changed = probs.copy()
    changed[:, 3:6] = 1
    inside = valid * (truth != UNKNOWN)
    expected = counted(probs, inside, truth % UNKNOWN)
    for found in (counted(probs, valid, truth), counted(changed, valid, truth)):
        np.testing.assert_array_equal(found.dice(), expected.dice())
        assert found.highest == expected.highest


def test_without_validation_cases_there_is_no_threshold(case):
    found = confidence([counted(*case)], [])
    assert (found.threshold, found.val_dice, found.test_dice) == (None, None, None)


def test_without_test_cases_the_threshold_is_still_that_of_the_validation_cases(case):
    found, usual = confidence([], [counted(*case)]), confidence([counted(*case)], [counted(*case)])
    assert (found.highest, found.test_dice) == (None, None)
    assert (found.threshold, found.val_dice) == (usual.threshold, usual.val_dice)
