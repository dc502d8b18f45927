import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.distance import cdist

from albench.masks import UNKNOWN
from albench.metrics import dice, score_case, slice_dice, summarize, surface_scores


def hd95(prediction, truth, spacing):
    return surface_scores(prediction, truth, spacing, 1.0).hd95


def surface_dice(prediction, truth, spacing, tolerance):
    return surface_scores(prediction, truth, spacing, tolerance).nsd


def empty(shape=(8, 8)):
    return np.zeros(shape, dtype=np.uint8)


def test_dice_of_empty_equal_and_overlapping_masks():
    some = empty()
    some[2:4, 1:6] = 1  # 10 pixels
    assert dice(empty(), empty()) == 1
    assert dice(some, some) == 1
    assert dice(some, empty()) == pytest.approx(1e-6, rel=1e-3)
    half = empty()
    half[2, 1:6] = 1
    assert dice(half, some) == pytest.approx(2 * 5 / 15, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.tuples(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0.5, 5)))
@settings(max_examples=25, deadline=None)
def test_hd95_equals_a_brute_force_search_over_surface_voxels(seed, spacing):
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.random((2, 6, 7, 8)) > 0.8).astype(np.uint8)
    surfaces = [np.argwhere(m.astype(bool) & ~binary_erosion(m)) * spacing for m in (prediction, truth)]
    distances = cdist(*surfaces)
    expected = max(np.percentile(distances.min(0), 95), np.percentile(distances.min(1), 95))
    assert hd95(prediction, truth, spacing) == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 2**32 - 1), st.tuples(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0.5, 5)), st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_surface_scores_equal_those_of_monai_to_the_last_bit(seed, spacing, tolerance):
    smooth = gaussian_filter(np.random.default_rng(seed).random((2, 9, 12, 10)), (0, 1.5, 1.5, 1.5))
    prediction, truth = (smooth > np.quantile(smooth, 0.6)).astype(np.uint8)
    pair = torch.from_numpy(np.stack([prediction, truth]))[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a deprecated call within MONAI 1.6
        distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
        share = compute_surface_dice(*pair, [tolerance], include_background=True, spacing=spacing)
    assert surface_scores(prediction, truth, spacing, tolerance) == (float(distance), float(share))


def test_hd95_of_a_shift_is_the_shift_in_millimeters():
    truth, shifted = empty((9, 9, 9)), empty((9, 9, 9))
    truth[4, 4, 4] = shifted[6, 4, 4] = 1
    assert hd95(shifted, truth, (3.0, 1.0, 1.0)) == pytest.approx(6.0)


def test_hd95_of_empty_masks_is_0_or_the_diagonal():
    some = empty((4, 3, 2))
    some[1, 1, 1] = 1
    assert hd95(empty((4, 3, 2)), empty((4, 3, 2)), (1, 1, 1)) == 0
    for pair in ((some, empty((4, 3, 2))), (empty((4, 3, 2)), some)):
        assert hd95(*pair, (3.0, 2.0, 1.0)) == pytest.approx(np.sqrt(12**2 + 6**2 + 2**2))


@given(st.integers(0, 2**32 - 1), st.tuples(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0.5, 5)), st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_surface_dice_equals_a_brute_force_count_of_surface_voxels_within_the_tolerance(seed, spacing, tolerance):
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.random((2, 6, 7, 8)) > 0.8).astype(np.uint8)
    surfaces = [np.argwhere(m.astype(bool) & ~binary_erosion(m)) * spacing for m in (prediction, truth)]
    distances = cdist(*surfaces)
    assume(np.abs(distances - tolerance).min() > 1e-4)  # MONAI measures in float32
    near = [distances.min(1) <= tolerance, distances.min(0) <= tolerance]
    expected = sum(map(np.sum, near)) / sum(map(len, near))
    assert surface_dice(prediction, truth, spacing, tolerance) == pytest.approx(expected, abs=1e-6)


def test_surface_dice_of_a_shift_depends_on_the_tolerance_in_millimeters():
    truth, shifted = empty((9, 9, 9)), empty((9, 9, 9))
    truth[4, 4, 4] = shifted[5, 4, 4] = 1
    assert surface_dice(shifted, truth, (3.0, 1.0, 1.0), 2.9) == 0
    assert surface_dice(shifted, truth, (3.0, 1.0, 1.0), 3.0) == 1


def test_surface_dice_of_empty_masks_is_1_or_0():
    some = empty((4, 3, 2))
    some[1, 1, 1] = 1
    assert surface_dice(empty((4, 3, 2)), empty((4, 3, 2)), (1, 1, 1), 9.0) == 1
    assert (
        surface_dice(some, empty((4, 3, 2)), (1, 1, 1), 9.0)
        == surface_dice(empty((4, 3, 2)), some, (1, 1, 1), 9.0)
        == 0
    )


def test_the_metrics_of_a_case_equal_those_by_hand():
    truth, prediction = empty((3, 4, 4)), empty((3, 4, 4))
    truth[0, :2] = 1
    prediction[0, 0] = 1  # 4 of 8: Dice 8/12
    prediction[2, 0, 0] = 1  # a false positive; slice 1 is empty in both
    scores = score_case(prediction, truth, (1, 1, 1), 1.0).all
    assert scores.dice_slice == pytest.approx((8 / 12 + 1 + 0) / 3, abs=1e-4)
    assert scores.dice_foreground == pytest.approx(8 / 12, abs=1e-5)
    assert scores.dice_volume == pytest.approx(8 / 13, abs=1e-5)
    assert scores.empty_slice_fpr == 0.5
    assert (scores.slices, scores.empty_slices) == (3, 2)


def test_a_case_without_foreground_has_no_foreground_dice():
    scores = score_case(empty((2, 4, 4)), empty((2, 4, 4)), (1, 1, 1), 1.0).all
    assert scores.dice_foreground is None
    assert scores.dice_slice == scores.dice_volume == 1
    full = score_case(np.ones((2, 4, 4), np.uint8), np.ones((2, 4, 4), np.uint8), (1, 1, 1), 1.0).all
    assert full.empty_slice_fpr is None


def test_slice_metrics_of_a_set_are_means_over_all_its_slices():
    rng = np.random.default_rng(0)
    pairs = [(rng.random((2, depth, 6, 6)) > 0.7).astype(np.uint8) for depth in (3, 9, 5)]
    for pair in pairs:
        pair[1, 0] = 0
    cases = [score_case(p, t, (1, 1, 1), 1.0).all for p, t in pairs]
    every = [(p, t) for pair in pairs for p, t in zip(*pair, strict=True)]
    metrics = summarize(cases)
    assert metrics.dice_slice == pytest.approx(np.mean([dice(p, t) for p, t in every]))
    assert metrics.dice_foreground == pytest.approx(np.mean([dice(p, t) for p, t in every if t.any()]))
    assert metrics.empty_slice_fpr == pytest.approx(np.mean([p.any() for p, t in every if not t.any()]))
    assert metrics.dice_volume == pytest.approx(np.mean([dice(*pair) for pair in pairs]))
    assert metrics.empty_slice_share == 3 / 17


def test_the_slice_dice_of_empty_predictions_is_the_share_of_empty_slices():
    truth = empty((10, 4, 4))
    truth[:4, 1:3, 1:3] = 1
    metrics = summarize([score_case(empty((10, 4, 4)), truth, (1, 1, 1), 1.0).all])
    assert metrics.dice_slice == pytest.approx(metrics.empty_slice_share, abs=1e-5)


def label_maps(seed: int = 0, shape: tuple[int, int, int] = (6, 7, 8)) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a truth of three classes; slice 1 has no foreground, slice 2 only class 1, and 3 is rare."""
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.choice(4, size=shape, p=[0.5, 0.3, 0.19, 0.01]).astype(np.uint8) for _ in range(2))
    truth[1], truth[2] = 0, truth[2] == 1
    return prediction, truth


def test_each_class_has_the_metrics_that_it_would_have_alone():
    prediction, truth = label_maps()
    found = score_case(prediction, truth, (3, 1, 1), 1.0, classes=3)
    for label, scores in enumerate(found.classes, 1):
        alone = score_case((prediction == label) * np.uint8(1), (truth == label) * np.uint8(1), (3, 1, 1), 1.0)
        assert scores == alone.all == alone.classes[0]


def test_the_metrics_of_all_classes_are_means_over_those_that_occur_in_the_truth():
    prediction, truth = label_maps()
    truth[truth == 3] = 0  # class 3 is predicted, but does not occur
    found = score_case(prediction, truth, (3, 1, 1), 1.0, classes=3)
    first, second, third = found.classes
    assert third.dice_volume < 0.01
    for metric in ("dice_volume", "hd95", "nsd"):
        mean = (getattr(first, metric) + getattr(second, metric)) / 2
        assert getattr(found.all, metric) == pytest.approx(mean)
    by_slice = []
    for p, t in zip(prediction, truth, strict=True):
        own = [label for label in (1, 2, 3) if (t == label).any()] or [1, 2, 3]
        by_slice.append(np.mean([dice((p == label) * np.uint8(1), (t == label) * np.uint8(1)) for label in own]))
    assert found.all.dice_slice == pytest.approx(np.mean(by_slice))
    assert found.all.dice_foreground == pytest.approx(np.mean([by_slice[i] for i in (0, 2, 3, 4, 5)]))
    assert (found.all.empty_slices, found.all.empty_slice_fpr) == (1, 1.0)
    assert [slice_dice(p, t, 3) for p, t in zip(prediction, truth, strict=True)] == pytest.approx(by_slice)


def test_a_case_without_any_class_counts_all_of_them():
    nothing = empty((2, 4, 4))
    predicted = nothing.copy()
    predicted[0, :2] = 2
    scores = score_case(predicted, nothing, (1, 1, 1), 1.0, classes=2).all
    assert scores.dice_volume == pytest.approx((1 + 0) / 2, abs=1e-5)
    assert scores.dice_foreground is None


def test_the_number_of_a_class_changes_no_metric():
    prediction, truth = label_maps(3)
    order = np.array([0, 3, 1, 2], np.uint8)
    one, other = (
        score_case(prediction, truth, (3, 1, 1), 1.0, 3),
        score_case(order[prediction], order[truth], (3, 1, 1), 1.0, 3),
    )
    assert vars(other.all) == pytest.approx(vars(one.all))
    assert [other.classes[order[label] - 1] for label in (1, 2, 3)] == list(one.classes)


@pytest.mark.parametrize("classes", [1, 3])
def test_what_is_predicted_where_the_label_is_unknown_changes_no_metric(classes):
    prediction, truth = (np.minimum(maps, classes) for maps in label_maps(classes))
    truth[:, 2:4, 1:6] = UNKNOWN
    truth[4] = UNKNOWN
    other = prediction.copy()
    other[truth == UNKNOWN] = np.random.default_rng(9).integers(0, classes + 1, (truth == UNKNOWN).sum())
    found = score_case(prediction, truth, (3, 1, 1), 1.0, classes)
    assert found == score_case(other, truth, (3, 1, 1), 1.0, classes)
    assert found.all.slices == 5
    without = [np.where(truth == UNKNOWN, 0, maps) for maps in (prediction, truth)]
    known = [maps[[0, 1, 2, 3, 5]] for maps in without]
    expected = score_case(*without, (3, 1, 1), 1.0, classes).all
    assert found.all.dice_volume == expected.dice_volume
    assert found.all.hd95 is found.all.nsd is None  # slice 4 has no known label
    assert found.all.dice_slice == score_case(*known, (3, 1, 1), 1.0, classes).all.dice_slice


def test_only_cases_that_are_drawn_everywhere_have_distances_between_surfaces():
    prediction, truth = label_maps(4)
    whole = score_case(prediction, truth, (3, 1, 1), 1.0, 3)
    sparse = truth.copy()
    sparse[3] = UNKNOWN
    parts = score_case(prediction, sparse, (3, 1, 1), 1.0, 3)
    assert all(scores.hd95 is scores.nsd is None for scores in (parts.all, *parts.classes))
    metrics = summarize([whole.all, parts.all])
    assert (metrics.hd95, metrics.nsd) == (whole.all.hd95, whole.all.nsd)
    assert metrics.dice_volume == pytest.approx((whole.all.dice_volume + parts.all.dice_volume) / 2)


def test_a_single_slice_is_compared_by_its_contour():
    truth, prediction = np.zeros((2, 1, 40, 40), np.uint8)
    truth[0, 10:30, 10:30] = prediction[0, 10:30, 10:34] = 1
    many = surface_scores(*(np.repeat(mask, 99, 0) for mask in (prediction, truth)), (1.0, 2.0, 0.5), 1.0)
    one = surface_scores(prediction, truth, (5.0, 2.0, 0.5), 1.0)
    assert one == surface_scores(prediction[0], truth[0], (2.0, 0.5), 1.0)
    assert one.hd95 == many.hd95 == 2.0, "the right edge is 4 pixels of 0.5 mm too far"
    empty = score_case(np.zeros_like(truth), truth, (5.0, 3.0, 4.0), 1.0).all
    assert (empty.hd95, empty.nsd) == (40 * 5.0, 0.0)
