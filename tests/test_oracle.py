import numpy as np
import pytest

from albench.errors import StrategyError
from albench.oracle import MaskOracle
from albench.runs.records import MaskQuality


@pytest.fixture
def oracle(tiny):
    return MaskOracle(tiny.labeled_stack(tiny.cases[:4]))


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
    blank = np.mean([not mask.any() for mask in truth])
    assert perfect == MaskQuality(len(truth), blank, foreground_share=truth.mean(), dice=1, dice_foreground=1)
    empty = oracle.evaluate_masks({i: np.zeros_like(mask) for i, mask in enumerate(truth)})
    assert empty.empty_share == 1
    assert empty.dice == pytest.approx(blank, abs=1e-6)
    assert empty.dice_foreground == pytest.approx(0, abs=1e-5)
    assert oracle.evaluate_masks({}) == MaskQuality(0, None, None, None, None)


def test_the_order_of_masks_does_not_change_their_evaluation(oracle, tiny):
    rng = np.random.default_rng(0)
    masks = {i: rng.integers(0, 2, mask.shape, dtype=np.uint8) for i, mask in enumerate(tiny.masks[:24])}
    found = [oracle.evaluate_masks({i: masks[i] for i in rng.permutation(list(masks)).tolist()}) for _ in range(20)]
    assert found == [oracle.evaluate_masks(masks)] * 20
