import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics.pairwise import cosine_similarity

from albench.acquisition import (
    _covered_with,
    aggregate,
    balance_classes,
    bald,
    cosine,
    entropy,
    log_power,
    log_rank_power,
    margin,
    mean_over_valid,
    min_max,
    most_certain,
    perturbed,
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


def test_cosine_equals_scikit_learn_with_negative_values_and_rows_of_zeros_as_0():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(5, 30)), rng.normal(size=(7, 30))
    first[2] = 0
    expected = np.maximum(cosine_similarity(first, second), 0)
    np.testing.assert_allclose(cosine(torch.from_numpy(first), torch.from_numpy(second)).numpy(), expected, atol=1e-12)


def test_min_max_scales_by_the_values_that_count_and_gives_0_if_these_are_equal():
    counted = torch.tensor([True, True, True, False])
    assert min_max(torch.tensor([2.0, 4.0, 3.0, 6.0]), counted).tolist() == [0.0, 1.0, 0.5, 2.0]
    assert min_max(torch.tensor([7.0, 7.0, 7.0, 1.0]), counted).tolist() == [0.0, 0.0, 0.0, 0.0]


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
    all_rows = torch.ones(len(density), dtype=torch.bool)
    first = int((min_max(density.double().sum(1), all_rows) - 0.5 * min_max(redundancy.sum(1), all_rows)).argmax())
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


def test_the_log_of_a_power_of_scores_is_finite_at_0():
    np.testing.assert_allclose(log_power(np.array([1.0, np.e, np.e**3]), 2), [0, 2, 6], atol=1e-12)
    lowest = log_power(np.array([0.0, 1e-300]), 1)
    assert np.isfinite(lowest).all()
    assert lowest[0] < lowest[1]


def test_the_log_of_a_power_of_ranks_begins_with_the_highest_score_and_breaks_ties_by_order():
    found = log_rank_power(np.array([0.5, 0.9, 0.5, -1.0, 7.0, 0.1]), 2)
    np.testing.assert_allclose(found, -2 * np.log([3, 2, 4, 6, 1, 5]))


def test_the_highest_perturbed_weights_are_a_sample_without_replacement():
    rng, weights = np.random.default_rng(0), np.array([1.0, 2.0, 3.0, 6.0])
    pairs = [tuple(np.argsort(-perturbed(np.log(weights), rng))[:2].tolist()) for _ in range(6000)]
    expected = {(i, j): weights[i] / 12 * weights[j] / (12 - weights[i]) for i in range(4) for j in range(4) if i != j}
    assert chisquare([pairs.count(pair) for pair in expected], np.array([*expected.values()]) * 6000).pvalue > 1e-4
