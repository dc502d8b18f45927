"""Masks as people draw them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from support.samples import TINY, invoke, tiny_arguments

from albench.annotator import Annotator, grown, shrunk, without_small_objects
from albench.config import Protocol
from albench.errors import ConfigError
from albench.masks import UNKNOWN
from albench.oracle import MaskOracle
from albench.resolve import resolve
from albench.runs.comparability import differences, protocol_digest
from albench.runs.layout import SHARED_ROUND_ZERO
from albench.streams import Streams

SPACING = (1.0, 2.5)


def annotator(*errors, rate=1.0, seed=0, distance=2.0, smallest=5.0):
    return Annotator(errors, rate, distance, smallest, Streams(seed, "phantom"))


@pytest.fixture
def truth(tiny):
    return tiny.labeled_stack(tiny.cases[:4])


def ids_of(truth):
    return np.arange(len(truth.slices))


def two_classes():
    rng = np.random.default_rng(3)
    mask = np.zeros((18, 15), dtype=np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, 12, 2)
        mask[top : top + rng.integers(1, 6), left : left + rng.integers(1, 5)] = rng.integers(1, 3)
    return mask


def distances(pixel, pixels):
    """Millimeters from one pixel to each of (n, 2) others."""
    return np.hypot(*((np.asarray(pixel) - pixels) * SPACING).T)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.6, 4.0])
def test_contours_are_displaced_by_a_distance_in_millimeters_as_by_brute_force(distance):
    mask = two_classes()
    inside, outside = np.argwhere(mask > 0), np.argwhere(mask == 0)
    larger, smaller = grown(mask, distance, SPACING), shrunk(mask, distance, SPACING)
    for place in itertools.product(*map(range, mask.shape)):
        if mask[place]:
            assert larger[place] == mask[place]
            if distances(place, outside).min() > distance:
                assert smaller[place] == mask[place]
        else:
            assert smaller[place] == 0
            away = distances(place, inside)
            nearest = {int(mask[tuple(inside[i])]) for i in np.flatnonzero(away == away.min())}
            assert larger[place] in (nearest if away.min() <= distance else {0})


def test_a_disc_grows_and_shrinks_by_its_radius():
    away = np.hypot(*np.indices((41, 41)) - 20)
    disc = (away <= 10).astype(np.uint8)
    assert abs(grown(disc, 3.0, (1.0, 1.0)).sum() - np.pi * 13**2) < 2 * np.pi * 13
    assert abs(shrunk(disc, 3.0, (1.0, 1.0)).sum() - np.pi * 7**2) < 2 * np.pi * 7
    assert grown(disc * 0, 3.0, (1.0, 1.0)).sum() == 0
    assert (shrunk(disc * 0 + 1, 3.0, (1.0, 1.0)) == 1).all()


def test_of_an_object_that_would_vanish_the_innermost_pixels_stay():
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[2, 2] = 1
    mask[8:11, 8:11] = 2
    small = shrunk(mask, 5.0, (1.0, 1.0))
    assert np.argwhere(small).tolist() == [[2, 2], [9, 9]]
    assert (small[2, 2], small[9, 9]) == (1, 2)


def test_objects_below_an_area_are_missed_and_touch_at_corners():
    mask = np.zeros((10, 10), dtype=np.uint8)
    mask[0:2, 0:2] = 1  # 4 pixels, and 5 with the next one
    mask[2, 2] = 2
    mask[6:8, 6:8] = 1
    assert without_small_objects(mask, 4.5).sum() == mask.sum() - 4
    assert (without_small_objects(mask, 4) == mask).all()
    assert without_small_objects(mask, 5.5).sum() == 0


def test_small_is_the_area_of_a_circle_in_millimeters(truth):
    height, width = truth.slices.spacing[0, 1:]
    masks = truth.masks(ids_of(truth))
    pixels = masks.reshape(len(masks), -1).sum(1)
    largest = 2 * np.sqrt(pixels.max() * height * width / np.pi)
    assert annotator("missed", smallest=largest * 0.99).draw(truth, ids_of(truth)).sum() >= pixels.max()
    assert annotator("missed", smallest=largest * 1.01).draw(truth, ids_of(truth)).sum() == 0


def test_a_slice_is_drawn_alike_whenever_it_is_queried_and_differently_in_another_seed(truth):
    kinds = ("neighbor", "missed", "contours")
    together = annotator(*kinds, rate=0.5).draw(truth, ids_of(truth))
    for slice_id in reversed(ids_of(truth)):
        alone = annotator(*kinds, rate=0.5).draw(truth, np.array([slice_id]))[0]
        assert np.array_equal(alone, together[slice_id])
    assert not np.array_equal(together, annotator(*kinds, rate=0.5, seed=1).draw(truth, ids_of(truth)))
    assert not np.array_equal(together, truth.masks(ids_of(truth)))


def test_a_kind_of_errors_occurs_in_its_share_of_slices_whatever_the_other_kinds(truth):
    exact = truth.masks(ids_of(truth))
    filled = exact.any((1, 2))
    draw = lambda *kinds, rate, seed: annotator(*kinds, rate=rate, seed=seed).draw(truth, ids_of(truth))  # noqa: E731
    changed = [(draw("contours", rate=0.3, seed=seed) != exact).any((1, 2))[filled] for seed in range(30)]
    count = sum(len(own) for own in changed)
    assert abs(np.concatenate(changed).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / count)
    alone = (draw("contours", rate=0.3, seed=0) != exact).any((1, 2))
    both = (draw("contours", "missed", rate=0.3, seed=0) != draw("missed", rate=0.3, seed=0)).any((1, 2))
    assert set(np.flatnonzero(both)) <= set(np.flatnonzero(alone))
    assert np.array_equal(draw("contours", "missed", "neighbor", rate=0.0, seed=0), exact)


def test_a_neighbor_is_an_adjacent_slice_of_the_same_case_on_either_side(truth):
    drawn, exact, sides = annotator("neighbor").draw(truth, ids_of(truth)), truth.masks(ids_of(truth)), set()
    for slice_id in ids_of(truth):
        of_case = truth.slices.of(truth.slices.case[slice_id])
        beside = [i for i in (slice_id - 1, slice_id + 1) if i in of_case]
        equal = [i for i in beside if np.array_equal(drawn[slice_id], exact[i])]
        assert equal
        sides |= {i - slice_id for i in equal} if len(equal) == 1 else set()
    assert sides == {-1, 1}


def test_unknown_labels_stay_unknown_and_padding_stays_empty(truth):
    masks = truth.masks(ids_of(truth))
    masks[:, :4] = UNKNOWN
    masks[:, :, -3:] = 0
    known = type(truth.truth).of(ids_of(truth), masks)
    padded = truth.slices.valid.copy()
    padded[:, 1] -= 3
    other = replace(truth, truth=known, slices=replace(truth.slices, valid=padded))
    drawn = annotator("neighbor", "contours", distance=9.0).draw(other, ids_of(truth))
    assert (drawn[:, :4, :-3] == UNKNOWN).all()
    assert not (drawn[:, 4:] == UNKNOWN).any()
    assert not drawn[:, 4:, -3:].any()
    assert drawn[:, 4:].any()


def test_the_oracle_gives_drawn_masks_and_keeps_the_truth_for_its_own_judgment(truth):
    exact, erring = MaskOracle(truth), MaskOracle(truth, annotator("contours"))
    ids = ids_of(truth)
    true, drawn = exact.annotate(ids, len(ids)), erring.annotate(ids, len(ids))
    assert any((true[i] != drawn[i]).any() for i in ids)
    assert erring.evaluate_masks(true).dice == 1
    assert erring.annotation_cost() != exact.annotation_cost()  # of what was drawn


def test_a_run_with_errors_is_another_run_with_a_round_zero_of_its_own_and_the_same_test_truth(tiny_run):
    exact = tiny_run("random")
    erring = tiny_run("random", {"protocol.annotation_errors": ["contours"], "protocol.error_rate": 1.0})
    assert erring.config.digest() != exact.config.digest()
    assert erring.query(0) == exact.query(0)  # the same slices, drawn otherwise
    assert erring.records[0].test != exact.records[0].test
    assert [own.empty_slice_share for own in erring.records[0].cases.values()] == [
        own.empty_slice_share for own in exact.records[0].cases.values()
    ]
    shared = exact.folder.parent
    while not (shared / SHARED_ROUND_ZERO).is_dir():
        shared = shared.parent
    assert len(list((shared / SHARED_ROUND_ZERO).glob("*.pt"))) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["protocol.annotation_errors=[contour]"],
            "protocol.annotation_errors.0 must be 'neighbor', 'missed' or 'contours', got 'contour'",
        ),
        (
            ["protocol.annotation_errors=[missed,missed]"],
            "protocol.annotation_errors must name each kind once, got missed, missed: leave repetitions out",
        ),
        (
            ["protocol.error_rate=0.5"],
            "protocol.error_rate needs protocol.annotation_errors, got protocol.error_rate=0.5 without any: set "
            "protocol.annotation_errors=[contours], or leave protocol.error_rate out",
        ),
        (["protocol.annotation_errors=[missed]", "protocol.error_rate=2"], "protocol.error_rate must be less than or "),
    ],
)
def test_errors_that_cannot_be_are_one_sentence(tmp_path, arguments, sentence):
    settings = [part for text in arguments for part in ("--set", text)]
    code, output = invoke(
        "run", "--strategy", "random", "--dataset", "phantom", "--out", tmp_path, *tiny_arguments(*settings)
    )
    assert code == 2
    assert sentence in " ".join(output.split())


def test_volumes_of_one_slice_have_no_neighbors_to_be_taken_for(truth):
    alone = replace(truth.slices, case=ids_of(truth), cases=tuple(map(str, ids_of(truth))))
    annotator("contours").check(alone)
    annotator("neighbor").check(truth.slices)
    sentence = "needs volumes of several slices, every volume of the pool has one: leave neighbor out"
    with pytest.raises(ConfigError, match=sentence):
        annotator("neighbor").check(alone)


def test_the_order_in_which_kinds_of_errors_are_given_has_no_effect():
    def config(*kinds):
        return resolve("random", "phantom", settings=TINY | {"protocol.annotation_errors": list(kinds)}).config

    orders = [config(*kinds) for kinds in itertools.permutations(("neighbor", "missed", "contours"))]
    assert len(orders) == 6
    assert {protocol_digest(one) for one in orders} == {protocol_digest(orders[0])}
    assert {one.digest() for one in orders} == {orders[0].digest()}
    assert differences(orders[0], orders[-1]) == []
    assert orders[0].protocol.annotation_errors == ("contours", "missed", "neighbor")  # as in the manual's example
    assert len({config("contours").digest(), config("missed").digest(), config("missed", "contours").digest()}) == 3


def test_the_digest_of_a_run_without_errors_does_not_depend_on_their_sizes(tiny_run):
    config = tiny_run("random").config
    sizes = replace(config.protocol, error_rate=0.5, error_distance=1.0, missed_diameter=1.0)
    assert replace(config, protocol=sizes).digest() == config.digest()
    assert Protocol().annotation_errors == ()
