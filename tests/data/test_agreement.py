"""How far raters agree, against scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score

from albench.data import agreement, agreement_in_words
from albench.masks import UNKNOWN


@pytest.mark.parametrize("raters", [2, 3, 4])
@pytest.mark.parametrize("labels", [(0, 1), (0, 1, 2, 5), (0, 1, 2, UNKNOWN)])
def test_the_dice_of_every_pair_is_the_f1_of_scikit_learn(raters, labels):
    masks = list(np.random.default_rng(raters).choice(labels, (raters, 3, 5, 6)).astype(np.uint8))
    found = agreement([masks])
    for first, second in itertools.combinations(range(raters), 2):
        known = (masks[first] != UNKNOWN) & (masks[second] != UNKNOWN)
        one, other = masks[first][known], masks[second][known]
        present = sorted({*one.tolist(), *other.tolist()} - {0})
        expected = f1_score(one, other, labels=present, average="macro")
        assert found.pop(f"{first + 1} and {second + 1}") == pytest.approx(expected)
    assert not found


def test_masks_of_organs_count_organ_by_organ():
    one, half, none = (np.array([[[1, drawn, 0, 0]]], np.uint8) for drawn in (1, 0, 0))
    assert agreement([[one, half], [one, one]]) == {"1 and 2": pytest.approx((2 / 3 + 1) / 2)}
    assert agreement([[one, half, one], [one, one]])["2 and 3"] == pytest.approx(2 / 3)
    assert agreement([[none * 0, none * 0]]) == {"1 and 2": 1.0}
    assert agreement([[none * 0, one]]) == {"1 and 2": 0.0}
    assert agreement([[one]]) == agreement([]) == {}


def test_the_median_and_the_worst_case_are_told_for_every_pair():
    cases = {"a": {"1 and 2": 0.5}, "b": {"1 and 2": 0.25, "1 and 3": 1.0}, "c": {"1 and 2": 1.0}, "d": {}}
    assert list(agreement_in_words(cases)) == [
        "Dice of masks 1 and 2 0.500 (median of 3 cases, lowest 0.250 in 'b')",
        "Dice of masks 1 and 3 1.000 (median of 1 case, lowest 1.000 in 'b')",
    ]
    assert not list(agreement_in_words({"d": {}}))
