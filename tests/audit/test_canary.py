"""Canaries are masks like the others, and none is the true one."""

import numpy as np
import pytest

from albench.audit.canary import canary
from albench.masks import UNKNOWN

RNG = np.random.default_rng(0)
VALID = np.array([12, 9])


def padded(mask: np.ndarray) -> np.ndarray:
    return np.pad(mask, ((0, 4), (0, 7))).astype(np.uint8)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("truth", ["empty", "full", "random"])
def test_a_canary_differs_from_the_truth_and_has_foreground_of_the_same_labels_inside_the_valid_part(truth, classes):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        drawn = {
            "empty": np.zeros(VALID),
            "full": np.ones(VALID),
            "random": rng.integers(0, classes + 1, VALID),
        }[truth]
        mask = canary(padded(drawn), padded(np.ones(VALID)), VALID, classes, rng)
        assert mask.dtype == np.uint8
        assert mask.shape == (16, 16)
        assert not np.array_equal(mask, padded(drawn))
        assert 0 < mask.max() <= classes
        assert not mask[12:].any()
        assert not mask[:, 9:].any()


def test_a_canary_is_unknown_where_the_truth_is():
    truth = padded(RNG.integers(0, 2, VALID))
    truth[:3] = UNKNOWN
    mask = canary(truth, np.full((16, 16), UNKNOWN, np.uint8), VALID, 1, RNG)
    assert np.array_equal(mask == UNKNOWN, truth == UNKNOWN)
    assert not np.array_equal(mask, truth)
