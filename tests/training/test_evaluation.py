import numpy as np
import pytest
import torch
from support.learners import evaluation_of
from torch import nn

from albench.config import Training
from albench.data import Prepared
from albench.metrics import surface_scores
from albench.streams import Streams
from albench.training.evaluation import Evaluation
from albench.training.learner import Learner

HEIGHT, WIDTH = 20, 27  # of the one case that is padded to 32 x 32


class Intensity(nn.Module):
    """Foreground where the image is at least 0, also in the padding."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1] * 100


def brute_force_dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    pairs = list(zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True))
    both = sum(p and t for p, t in pairs)
    return (2 * both + 1e-5) / (sum(p for p, _ in pairs) + sum(t for _, t in pairs) + 1e-5)


def evaluate_cases(images: np.ndarray, masks: np.ndarray) -> Evaluation:
    """The first five slices are of case a, the rest of case b; in batches of 2."""
    counts, valid = np.array([5, len(masks) - 5]), np.array([[HEIGHT, WIDTH], [32, 32]])
    spacing = np.array([[3.0, 1.0, 2.0], [2.0, 1.0, 1.0]])
    labeled = Prepared("key", images, masks, ("a", "b"), counts, valid, spacing, ("a", "b")).labeled_stack(("a", "b"))
    training, device = Training(batch_size=2), torch.device("cpu")
    network = Intensity()
    learner = Learner(
        network, labeled.slices, labeled, training, Streams(0, "x"), round_index=0, lr=1e-3, device=device
    )
    return evaluation_of(learner, labeled)


@pytest.fixture
def evaluated():
    """Two cases of 5 and 3 slices: images, truth, and their evaluation in batches of 2."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(8, 1, 32, 32)).astype(np.float16)
    images[0, 0, 3, 4] = 0  # a probability of exactly one half is foreground
    masks = (rng.random((8, 32, 32)) > 0.7).astype(np.uint8)
    masks[:, HEIGHT:], masks[:, :, WIDTH:] = 0, 0
    masks[1] = masks[4] = 0
    masks[2, 1:] = 0  # a few pixels
    masks[6, :10, :10] = 1
    images[1], images[4] = -1, -1
    images[4, 0, 30, 30] = 1  # in the padding, where nothing counts
    return images[:, 0] >= 0, masks, evaluate_cases(images, masks)


def test_metrics_of_a_padded_case_equal_brute_force_on_its_own_pixels(evaluated):
    predicted, masks, evaluation = evaluated
    prediction = predicted[:5, :HEIGHT, :WIDTH].astype(np.uint8)
    truth = masks[:5, :HEIGHT, :WIDTH]
    by_slice = [brute_force_dice(p, t) for p, t in zip(prediction, truth, strict=True)]
    scores = evaluation.cases["a"].all
    assert (scores.slices, scores.empty_slices) == (5, 2)
    assert scores.dice_slice == pytest.approx(np.mean(by_slice))
    assert scores.dice_foreground == pytest.approx(np.mean([by_slice[0], by_slice[2], by_slice[3]]))
    assert scores.dice_volume == pytest.approx(brute_force_dice(prediction, truth))
    assert scores.empty_slice_fpr == 0
    assert scores.hd95 == pytest.approx(surface_scores(prediction, truth, (3.0, 1.0, 2.0), 1.0).hd95)
    assert by_slice[1] == by_slice[4] == 1


def test_the_distance_of_a_missed_organ_is_the_diagonal_without_the_padding():
    masks = np.zeros((8, 32, 32), np.uint8)
    masks[:, 4:9, 4:9] = 1
    evaluation = evaluate_cases(np.full((8, 1, 32, 32), -1, np.float16), masks)
    assert evaluation.cases["a"].all.hd95 == pytest.approx(np.linalg.norm([5 * 3, HEIGHT * 1, WIDTH * 2]))
    assert evaluation.cases["b"].all.hd95 == pytest.approx(np.linalg.norm([3 * 2, 32, 32]))


def test_a_probability_of_one_half_is_foreground(evaluated):
    predicted, _, evaluation = evaluated
    assert predicted[0, 3, 4]
    assert evaluation.shown[0][3, 4] == 1


def test_the_summary_is_over_all_slices_and_over_all_cases(evaluated):
    _, _, evaluation = evaluated
    first, second = (scores.all for scores in evaluation.cases.values())
    summary = evaluation.metrics()
    assert list(evaluation.cases) == ["a", "b"]
    assert summary.dice_slice == pytest.approx((5 * first.dice_slice + 3 * second.dice_slice) / 8)
    assert summary.dice_volume == pytest.approx((first.dice_volume + second.dice_volume) / 2)
    assert summary.empty_slice_share == 2 / 8
    assert (first.metrics().empty_slice_share, second.metrics().empty_slice_share) == (2 / 5, 0)


def test_the_slices_with_the_largest_and_a_small_foreground_are_shown(evaluated):
    predicted, masks, evaluation = evaluated
    area = masks.sum((1, 2)).astype(float)
    expected = set()
    for ids in (list(range(5)), list(range(5, 8))):
        largest = max(ids, key=lambda i: area[i])
        expected |= {largest, min((i for i in ids if area[i] >= area[largest] / 10), key=lambda i: area[i])}
    assert set(evaluation.shown) == expected
    for slice_id, shown in evaluation.shown.items():
        inside = predicted[slice_id].copy()
        if slice_id < 5:
            inside[HEIGHT:], inside[:, WIDTH:] = False, False
        np.testing.assert_array_equal(shown, inside)


def test_nothing_is_shown_of_a_case_without_foreground(tiny, make_round):
    labeled = tiny.labeled_stack(tiny.cases[:1])
    empty = Prepared(
        "key",
        labeled.slices.read(np.arange(len(labeled.slices))),
        np.zeros((len(labeled.slices), 32, 32), np.uint8),
        ("a",),
        np.array([len(labeled.slices)]),
        np.array([[32, 32]]),
        np.ones((1, 3)),
        ("a",),
    ).labeled_stack(("a",))
    evaluation = evaluation_of(make_round().learner, empty)
    assert evaluation.shown == {}
    assert evaluation.cases["a"].all.dice_foreground is None
    assert evaluation.metrics().dice_foreground is None
