from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import mutual_info_score
from sklearn.metrics.pairwise import cosine_similarity

from albench.acquisition import (
    _covered_with,
    _histograms_by_count,
    _histograms_by_product,
    _upper_bounds,
    aggregate,
    balance_classes,
    bald,
    cosine,
    entropy,
    k_center,
    margin,
    mean_over_valid,
    min_max,
    most_certain,
    mutual_information,
    quantize,
    representative,
    top_k,
    variance,
    weighted_jsd,
)
from albench.probabilities import predicted


def one_class(probs) -> torch.Tensor:
    """(..., n) probabilities of the foreground as maps (..., 1, 1, n)."""
    return torch.as_tensor(probs)[..., None, None, :]


def several_classes(*shape: int, classes: int = 3, seed: int = 0) -> torch.Tensor:
    """(*shape, classes + 1, 5, 7) float64 probabilities that sum to 1."""
    logits = torch.randn(*shape, classes + 1, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (3 * logits).softmax(-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_entropy_of_one_half_is_ln_2_and_of_certainty_is_0(dtype):
    coin, certain = one_class(torch.tensor([0.5], dtype=dtype)), one_class(torch.tensor([0.0, 1.0], dtype=dtype))
    assert entropy(coin).item() == pytest.approx(np.log(2), abs=torch.finfo(dtype).eps)
    assert entropy(certain).flatten().tolist() == [0.0, 0.0]


def test_entropy_equals_scipy():
    probs = np.random.default_rng(0).random(100)
    expected = scipy_entropy(np.stack([probs, 1 - probs]))
    np.testing.assert_allclose(entropy(one_class(probs))[0].numpy(), expected, rtol=1e-12)
    probs = several_classes(2)
    np.testing.assert_allclose(entropy(probs).numpy(), scipy_entropy(probs.numpy(), axis=1), rtol=1e-12)


def test_gradients_of_the_divergence_are_finite_where_a_sigmoid_saturates():
    logits = torch.tensor([[30.0, -120.0, 2.0]], requires_grad=True)
    probs = torch.sigmoid(logits)
    assert probs[0, :2].tolist() == [1.0, 0.0]
    others = torch.tensor([[0.9, 0.1, 0.3]])
    weighted_jsd(one_class(torch.cat([probs, others])), 0.75).sum().backward()
    assert logits.grad[0, :2].tolist() == [0.0, 0.0]
    p, q = probs[0, 2].item(), (probs[0, 2].item() + 0.3) / 2
    slope = 0.75 / 2 * np.log((1 - q) / q) - 0.25 / 2 * np.log((1 - p) / p)  # d/dp of Eq. 1 with two views
    assert logits.grad[0, 2].item() == pytest.approx(slope * p * (1 - p), rel=1e-4)


def test_gradients_of_the_divergence_are_finite_where_a_softmax_saturates():
    logits = torch.tensor([[[[200.0]], [[-200.0]], [[0.0]]]], requires_grad=True)
    others = torch.tensor([[[[0.2]], [[0.3]], [[0.5]]]])
    weighted_jsd(torch.stack([logits.softmax(1), others]), 0.75).sum().backward()
    assert logits.grad.isfinite().all()


def test_margin_is_0_at_one_half_and_1_when_certain():
    assert margin(one_class([0.5, 0.0, 1.0, 0.75])).flatten().tolist() == [0.0, 1.0, 1.0, 0.5]


def test_margin_of_several_classes_is_that_of_the_first_two():
    probs = several_classes(4)
    ranked = np.sort(probs.numpy(), axis=1)
    np.testing.assert_array_equal(margin(probs).numpy(), ranked[:, -1] - ranked[:, -2])


def test_mean_margin_ranks_as_mean_least_confidence():
    probs = torch.from_numpy(np.random.default_rng(1).random((30, 1, 8, 8)))
    confidence = torch.maximum(probs, 1 - probs).mean((1, 2, 3))
    assert torch.equal(margin(probs).mean((1, 2)).argsort(), confidence.argsort())


def test_two_samples_at_02_and_08_have_the_known_entropy_information_and_variance():
    probs = one_class(torch.tensor([0.2, 0.8], dtype=torch.float64)[:, None])
    assert entropy(probs.mean(0)).item() == pytest.approx(0.6931, abs=1e-4)
    assert bald(probs).item() == pytest.approx(0.1927, abs=1e-4)
    assert variance(probs, 0).item() == pytest.approx(0.09)


@pytest.mark.parametrize("correction", [0, 1])
def test_variance_over_samples_equals_numpy(correction):
    samples = np.random.default_rng(0).random((10, 3, 1, 5, 7))
    found = variance(torch.from_numpy(samples), correction)
    np.testing.assert_allclose(found.numpy(), samples.var(0, ddof=correction)[:, 0], rtol=1e-12)
    several = several_classes(10, 2)
    expected = several.numpy().var(0, ddof=correction).sum(1) / 2
    np.testing.assert_allclose(variance(several, correction).numpy(), expected, rtol=1e-12)


MEASURES = {
    "entropy": lambda samples: entropy(samples[0]),
    "margin": lambda samples: margin(samples[0]),
    "variance": lambda samples: variance(samples, 1),
    "bald": bald,
    "divergence": lambda samples: weighted_jsd(samples, 0.75),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_class_that_never_occurs_changes_no_uncertainty(measure):
    foreground = torch.rand(6, 2, 1, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nothing = torch.zeros_like(foreground)
    several = torch.cat([1 - foreground, foreground, nothing], -3)
    torch.testing.assert_close(measure(several), measure(foreground), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_the_order_of_the_classes_changes_no_uncertainty(measure):
    probs = several_classes(6, 2)
    torch.testing.assert_close(measure(probs[..., [2, 0, 3, 1], :, :]), measure(probs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("classes", [1, 3])
def test_balanced_weights_give_the_mean_over_classes_of_the_mean_over_their_pixels(classes):
    rng = np.random.default_rng(classes)
    probs = several_classes(4, classes=classes, seed=1)
    probs = probs[:, 1:] if classes == 1 else probs
    valid = np.ones((4, 5, 7))
    valid[:, 4:] = 0
    values = rng.random((4, 5, 7))
    found = mean_over_valid(torch.from_numpy(values), balance_classes(probs, torch.from_numpy(valid)))
    labels = predicted(probs).numpy()
    for row in range(4):
        inside = valid[row] > 0
        own = [values[row][inside & (labels[row] == label)] for label in np.unique(labels[row][inside])]
        assert len(own) > 1
        assert found[row].item() == pytest.approx(np.mean([part.mean() for part in own]))


def test_bald_is_0_when_samples_agree_and_never_negative():
    probs = one_class(torch.rand(1, 50, dtype=torch.float32).repeat(7, 1))
    assert bald(probs).abs().max() < 1e-6
    assert bald(one_class(torch.rand(5, 1000))).min() >= 0


def test_half_of_eight_views_at_001_and_half_at_099_have_the_known_divergence():
    probs = one_class(torch.tensor([0.01, 0.99] * 4, dtype=torch.float64)[:, None])
    assert weighted_jsd(probs, 0.5).item() == pytest.approx(0.3186, abs=1e-4)
    assert weighted_jsd(probs, 0.75).item() == pytest.approx(0.5059, abs=1e-4)


@pytest.mark.parametrize(("alpha", "expected"), [(0.5, 0.0), (0.75, 0.3466), (0.25, -0.3466)])
def test_eight_views_at_one_half_have_the_known_divergence(alpha, expected):
    assert weighted_jsd(torch.full((8, 1, 1, 1), 0.5), alpha).item() == pytest.approx(expected, abs=1e-4)


def test_the_weighted_divergence_splits_into_disagreement_and_entropy():
    probs = one_class(torch.rand(8, 40, dtype=torch.float64))
    mean = entropy(probs.mean(0))
    for alpha in (0.25, 0.5, 0.75):
        expected = (1 - alpha) * (mean - entropy(probs).mean(0)) + (2 * alpha - 1) * mean
        torch.testing.assert_close(weighted_jsd(probs, alpha), expected)


def test_mean_over_valid_ignores_padding():
    values = torch.tensor([[[1.0, 100.0], [3.0, 100.0]]])
    valid = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert mean_over_valid(values, valid).tolist() == [2.0]


@given(st.integers(0, 1000), st.sampled_from(["mean", "sum", "top"]), st.sampled_from([0.001, 0.1, 0.37, 1.0]))
@settings(deadline=None)
def test_aggregation_equals_a_loop_over_slices(seed, how, top):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(4, 6, 7))
    sizes = rng.integers(1, 7, (4, 2))
    valid = np.zeros_like(values)
    expected = []
    for row, (height, width) in enumerate(sizes):
        valid[row, :height, :width] = 1
        inside = np.sort(values[row, :height, :width].ravel())[::-1]
        taken = inside[: int(np.ceil(np.float32(len(inside)) * np.float32(top)))] if how == "top" else inside
        expected.append(taken.sum() if how == "sum" else taken.mean())
    found = aggregate(torch.from_numpy(values), torch.from_numpy(valid).float(), how, top)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_top_k_breaks_ties_by_the_lower_id():
    ids = np.array([7, 3, 9, 1])
    assert top_k(np.array([1.0, 1.0, 2.0, 1.0]), ids, 3).tolist() == [9, 1, 3]


def test_k_center_on_a_line_selects_the_far_end_then_the_middle():
    points = torch.tensor([[1.0], [2.0], [10.0]])
    assert k_center(points, torch.tensor([[0.0]]), 2).tolist() == [2, 1]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_radius_of_k_center_is_at_most_twice_the_smallest_possible(seed):
    rng = np.random.default_rng(seed)
    points, fixed = rng.random((9, 2)), rng.random((2, 2))

    def radius(rows: tuple[int, ...]) -> float:
        centers = np.concatenate([fixed, points[list(rows)]])
        return np.linalg.norm(points[:, None] - centers, axis=2).min(1).max()

    best = min(radius(rows) for rows in combinations(range(9), 3))
    found = k_center(torch.from_numpy(points), torch.from_numpy(fixed), 3)
    assert radius(tuple(found.tolist())) <= 2 * best + 1e-12


def test_k_center_selects_what_scikit_activeml_selects():
    from skactiveml.pool import CoreSet

    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(300, 64)).astype(np.float32)
    labels = np.full(300, np.nan)
    labels[:20] = 0
    expected = CoreSet(random_state=0).query(embeddings, labels, batch_size=25)
    features = torch.from_numpy(embeddings)
    assert (k_center(features[20:], features[:20], 25) + 20).tolist() == expected.tolist()


@given(st.integers(0, 10_000), st.integers(1, 80), st.sampled_from(["normal", "clusters", "far from the origin"]))
@settings(max_examples=40, deadline=None)
def test_lazy_k_center_selects_what_plain_float64_selects(seed, size, kind):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(300, size)).astype(np.float32)
    if kind == "clusters":
        points = (5 * rng.normal(size=(9, size))[rng.integers(9, size=300)] + 0.1 * points).astype(np.float32)
    elif kind == "far from the origin":
        points = 1000 + 0.01 * points
    candidates, centers = points[40:], points[:40]

    def squares(row: np.ndarray) -> np.ndarray:
        return ((candidates.astype(np.float64) - row) ** 2).sum(1)

    nearest = np.min([squares(center) for center in centers], axis=0)
    found = k_center(torch.from_numpy(candidates), torch.from_numpy(centers), 50).tolist()
    assert len(set(found)) == 50
    for row in found:  # a difference in the last digits of float64 may decide between equals
        assert nearest[row] >= nearest.max() * (1 - 1e-9) - 1e-9
        nearest = np.minimum(nearest, squares(candidates[row]))
        nearest[row] = -1


def test_upper_bounds_from_float32_are_never_below_float64_distances():
    rng = np.random.default_rng(0)
    for scale, offset in ((1, 0), (1e-3, 100), (1e4, -1e6)):
        points = (scale * rng.standard_cauchy((200, 300)) + offset).astype(np.float32)
        candidates, centers = torch.from_numpy(points[50:]), torch.from_numpy(points[:50])
        exact = torch.cdist(candidates.double(), centers.double()).square().amin(1)
        assert (_upper_bounds(candidates, centers, candidates.mean(0, dtype=torch.float64)) >= exact).all()


def test_k_center_never_selects_a_copy_of_a_labeled_slice_before_others():
    rng = np.random.default_rng(1)
    constant = np.full((1, 1024), 300.0, np.float32)  # far from the origin: |a|^2 + |b|^2 - 2ab loses its digits
    others = rng.normal(size=(10, 1024)).astype(np.float32) * 0.01 + constant
    candidates = torch.from_numpy(np.concatenate([np.repeat(constant, 5, 0), others]))
    chosen = k_center(candidates, torch.from_numpy(constant), 15).tolist()
    assert sorted(chosen[:10]) == list(range(5, 15))
    assert sorted(chosen) == list(range(15))


def test_k_center_breaks_ties_by_the_lower_row():
    assert k_center(torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([[0.0]]), 1).tolist() == [0]


def test_cosine_equals_scikit_learn_with_negative_values_and_rows_of_zeros_as_0():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(5, 30)), rng.normal(size=(7, 30))
    first[2] = 0
    expected = np.maximum(cosine_similarity(first, second), 0)
    np.testing.assert_allclose(cosine(torch.from_numpy(first), torch.from_numpy(second)).numpy(), expected, atol=1e-12)


@given(st.integers(0, 1000), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_both_algorithms_for_joint_histograms_are_exact(seed, bins):
    rng = np.random.default_rng(seed)
    first, second = (torch.from_numpy(rng.integers(0, bins, (n, 5000)).astype(np.uint8)) for n in (2, 3))
    first[0] = second[0] = 1  # one cell holds more counts than half precision can tell apart
    edges = np.arange(bins + 1) - 0.5
    for histograms in (_histograms_by_count, _histograms_by_product):
        found = torch.full((2, 3, bins, bins), -1)
        for row, columns, joint in histograms(first, second, bins):
            found[row, columns] = joint
        for i, j in np.ndindex(2, 3):
            expected = np.histogram2d(first[i].numpy(), second[j].numpy(), bins=(edges, edges))[0]
            np.testing.assert_array_equal(found[i, j].numpy(), expected)


def test_mutual_information_does_not_depend_on_the_number_of_images():
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (150, 40)).astype(np.uint8))
    whole = mutual_information(levels[:2], levels, 3)
    parts = [mutual_information(levels[:2], part, 3) for part in levels.split(7)]
    assert torch.equal(whole, torch.cat(parts, 1))


@given(st.integers(0, 1000), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_mutual_information_equals_histogram2d_and_scikit_learn(seed, bins):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 400)), rng.normal(size=(3, 400)) ** 3
    second[0] += first[0]
    found = mutual_information(
        quantize(torch.from_numpy(first), bins), quantize(torch.from_numpy(second), bins), bins
    ).numpy()
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            joint = np.histogram2d(one, two, bins=bins)[0]
            p = joint / joint.sum()
            outer = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
            seen = p > 0
            assert found[i, j] == pytest.approx((p[seen] * np.log(p[seen] / outer[seen])).sum(), abs=1e-6)
            assert found[i, j] == pytest.approx(mutual_info_score(None, None, contingency=joint), abs=1e-6)


def test_mutual_information_of_a_uniform_image_is_the_log_of_its_levels_with_itself_and_0_with_a_constant():
    uniform = torch.arange(400.0)[None] % 20
    constant = torch.full((1, 400), 3.0)
    levels = quantize(torch.cat([uniform, constant]), 20)
    information = mutual_information(levels, levels, 20)
    assert information[0, 0].item() == pytest.approx(np.log(20), abs=1e-9)
    assert information[0, 1].item() == information[1, 1].item() == 0


def test_min_max_of_equal_values_is_0():
    assert min_max(torch.tensor([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert min_max(torch.full((3,), 7.0)).tolist() == [0.0, 0.0, 0.0]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_representative_equals_a_plain_greedy_loop(seed):
    rng = np.random.default_rng(seed)
    density, redundancy = rng.random((6, 9)), rng.random((6, 4))
    chosen: list[int] = []
    for _ in range(4):
        rest = [c for c in range(6) if c not in chosen]
        reach = np.array([density[[*chosen, c]].max(0).sum() for c in rest])
        overlap = np.array([redundancy[[*chosen, c]].max(0).sum() for c in rest])
        scaled = [(v - v.min()) / (v.max() - v.min()) if v.max() > v.min() else v * 0 for v in (reach, overlap)]
        chosen.append(rest[int(np.argmax(scaled[0] - 0.5 * scaled[1]))])
    found = representative(torch.from_numpy(density), torch.from_numpy(redundancy), 4, 0.5)
    assert found.tolist() == chosen


@pytest.mark.parametrize("candidates", [16, 17, 33, 100])
def test_representative_does_not_depend_on_the_number_of_candidates(candidates):
    density, redundancy = torch.rand(candidates, 50), torch.rand(candidates, 9, dtype=torch.float64)
    covered = torch.rand(50)
    whole = torch.maximum(density, covered).double().sum(1)
    torch.testing.assert_close(_covered_with(density, covered), whole, rtol=1e-12, atol=0)
    first = int((min_max(density.double().sum(1)) - 0.5 * min_max(redundancy.sum(1))).argmax())
    assert representative(density, redundancy, 1, 0.5).tolist() == [first]


def test_a_copy_of_a_selected_candidate_adds_no_density():
    density = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    assert representative(density, torch.zeros(3, 1), 2, 0.5).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("keep", "count", "expected"),
    [
        ("any", 3, [7, 2, 9]),
        ("nonempty", 3, [9, 4]),
        ("nonempty", 1, [9]),
        ("balanced", 4, [7, 2, 9, 4]),
        ("balanced", 3, [7, 9]),
        ("balanced", 9, [7, 2, 9, 4]),  # as many empty ones as there are nonempty ones
        ("any", 0, []),
        ("balanced", 1, []),
    ],
)
def test_pseudo_labels_are_the_most_certain_of_their_kind(keep, count, expected):
    ranking, nonempty = np.array([7, 2, 9, 1, 4, 3]), np.array([False, False, True, False, True, False])
    assert most_certain(ranking, nonempty, count, keep).tolist() == expected
