"""Predictions that nobody should correct, against the Dice of masks that predict nothing or everything."""

from dataclasses import replace

import numpy as np
import pytest
from support.samples import TINY

from albench import run
from albench.annotation.useless import learned_nothing, why_useless
from albench.data import LabeledStack, prepare
from albench.masks import UNKNOWN, PackedMasks
from albench.metrics import dice
from albench.registry import DATASETS, find
from albench.runs.records import Metrics, SliceName

ADVICE = "leave --prefill out until the network is better, and draw over what it suggests"
SOME, NONE = ({SliceName("a", 1): np.full((4, 4), value, np.uint8)} for value in (1, 0))


@pytest.fixture
def val():
    """Three volumes of a phantom, one of them without foreground."""
    prepared = prepare(find(DATASETS, "phantom")(count=6, depth=8, side=32))
    stack = prepared.labeled_stack(prepared.cases[:3])
    masks = stack.masks(np.arange(len(stack.slices)))
    masks[stack.slices.of(1)] = 0
    return with_masks(stack, masks)


def with_masks(stack, masks, **changed):
    return LabeledStack(replace(stack.slices, **changed), PackedMasks.of(np.arange(len(masks)), masks))


@pytest.fixture
def record(tmp_path):
    """A record with this volume Dice on validation."""
    done = run("random", "phantom", settings=TINY | {"protocol.rounds": 1}, out=tmp_path, device="cpu")

    def make(value):
        metrics = None if value is None else Metrics(None, None, value, None, None, None, None)
        return replace(done.records[0], val=metrics)

    return make


def brute_force(stack, value):
    """Mean Dice of masks with this value everywhere, from the pixels."""
    found = []
    for case in range(len(stack.slices.cases)):
        ids = stack.slices.of(case)
        truth = np.concatenate(
            [mask[:h, :w].ravel() for mask, (h, w) in zip(stack.masks(ids), stack.slices.valid[ids], strict=True)]
        )
        truth = truth[truth != UNKNOWN] > 0
        found.append(dice(np.full(truth.shape, value, bool), truth))
    return np.mean(found)


def test_the_floor_is_that_of_the_better_of_two_constant_masks(val):
    nothing, everything = brute_force(val, 0), brute_force(val, 1)
    assert nothing == pytest.approx(1 / 3, abs=1e-6)
    assert learned_nothing(val) == pytest.approx(max(nothing, everything), abs=1e-6)
    masks = val.masks(np.arange(len(val.slices)))
    filled = masks.copy()
    filled[:, :16] = 1
    filled[:, 16:20] = UNKNOWN
    full = with_masks(val, filled)
    assert brute_force(full, 1) > brute_force(full, 0)
    assert learned_nothing(full) == pytest.approx(brute_force(full, 1), abs=1e-6)
    assert learned_nothing(with_masks(val, filled, classes=("a", "b"))) == 0


def test_a_network_that_has_hardly_learned_anything_is_named_with_both_dice(val, record):
    floor = learned_nothing(val)
    assert why_useless(record(0.35), val, SOME, 2) == (
        "caution: the network of round 2 has hardly learned anything, its volume Dice on validation is 0.350 and that "
        f"of predicting nothing or everything {floor:.3f}: {ADVICE}"
    )
    assert why_useless(record(floor + 0.06), val, SOME, 2) is None
    assert why_useless(record(None), None, SOME, 2) is None


def test_predictions_without_foreground_are_useless_whatever_the_dice_is(val, record):
    said = f"caution: the network of round 0 predicts no foreground in these slices: {ADVICE}"
    unknown = {SliceName("a", 1): np.full((4, 4), UNKNOWN, np.uint8)}
    assert why_useless(record(0.9), val, NONE | unknown, 0) == said
    assert why_useless(record(None), None, NONE, 0) == said
