from dataclasses import dataclass

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import gaussian_filter
from support.learners import evaluation_of
from torch import nn

from albench.config import Training
from albench.data import Dataset, Prepared, Volume, prepare
from albench.masks import UNKNOWN
from albench.metrics import surface_scores
from albench.streams import Streams
from albench.training.evaluation import Evaluation, to_own_grid
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


@dataclass(frozen=True, kw_only=True)
class Odd(Dataset):
    """Odd sizes and anisotropic voxels: `a` shrinks in one direction, `b` grows, `c` is as large as data.size."""

    size: tuple[int, int] | None = (32, 48)
    parts: int = 1

    @property
    def class_names(self):
        return ("organ", "core")[: self.parts]

    def cases(self):
        return ["a", "b", "c"]

    def load(self, case):
        shape = {"a": (5, 37, 53), "b": (4, 13, 41), "c": (3, 32, 48)}[case]
        spacing = {"a": (4.0, 0.7, 1.1), "b": (2.0, 0.9, 1.0), "c": (3.0, 1.0, 1.0)}[case]
        rng = np.random.default_rng(ord(case))
        image = gaussian_filter(rng.normal(size=(1, *shape)), (0, 0.5, 2, 2)).astype(np.float32)
        mask = (gaussian_filter(rng.normal(size=shape), (0.5, 2, 2)) > 0.1).astype(np.uint8)
        if self.parts == 2:
            mask[:, ::2] *= 2
        if case == "a":
            mask[1] = 0
            mask[2, :9, 30:] = UNKNOWN
        return Volume(image, mask, spacing)


class Graded(nn.Module):
    """Logits of two classes and the background, or of one class, from the image."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        value = images[:, :1]
        return value if self.parts == 1 else torch.cat([0.1 - value.abs(), 2 * value, -value], 1)


def weights(inner: int, outer: int) -> np.ndarray:
    """(outer, inner) weights of linear interpolation, with a triangle as wide as the larger pixel."""
    scale = inner / outer
    centers, pixels = (np.arange(outer)[:, None] + 0.5) * scale, np.arange(inner) + 0.5
    made = np.clip(1 - np.abs(pixels - centers) / max(scale, 1.0), 0, None)
    return made / made.sum(1, keepdims=True)


def brute_force_on_own_grid(prepared: Prepared, data: Odd, case: str) -> tuple[np.ndarray, np.ndarray]:
    """The (k, d, h, w) probabilities and the label map of a case, from its prepared images."""
    index, own = prepared.cases.index(case), data.load(case)
    stack = prepared.stack((case,))
    height, width = prepared.valid[index]
    images = torch.from_numpy(stack.read(np.arange(len(stack)))).float()[:, :, :height, :width]
    logits = Graded(data.parts)(images).double()
    probs = (logits.sigmoid() if data.parts == 1 else logits.softmax(1)).numpy()
    rows, columns = weights(height, own.mask.shape[1]), weights(width, own.mask.shape[2])
    brought = np.einsum("yh,dkhw,xw->kdyx", rows, probs, columns)
    return brought, (brought[0] >= 0.5).astype(int) if data.parts == 1 else brought.argmax(0)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Prepare the odd volumes and evaluate the graded network on them."""
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))

    def evaluated(parts: int, *, own_grid: bool):
        data = Odd(parts=parts)
        prepared = prepare(data)
        labeled = prepared.labeled_stack(data.cases(), own_grid=own_grid)
        learner = Learner(
            Graded(parts), labeled.slices, labeled, Training(batch_size=2), Streams(0, "x"), round_index=0, lr=1e-3,
            device=torch.device("cpu"),
        )  # fmt: skip
        return data, prepared, evaluation_of(learner, labeled)

    return evaluated


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("case", ["a", "b"])
def test_scaled_slices_are_scored_on_the_grid_of_the_file_as_by_brute_force(odd, case, parts):
    data, prepared, evaluation = odd(parts, own_grid=True)
    probs, labels = brute_force_on_own_grid(prepared, data, case)
    own = data.load(case)
    assert labels.shape == own.mask.shape != prepared.masks.shape[1:]
    known = own.mask != UNKNOWN
    for label, scores in enumerate(evaluation.cases[case].classes, 1):
        predicted, truth = (labels == label) & known, own.mask == label
        pair = [torch.from_numpy(values[None, None].astype(np.float32)) for values in (predicted, truth)]
        expected = {"include_background": True, "spacing": list(own.spacing)}
        hd95 = compute_hausdorff_distance(*pair, percentile=95, **expected)
        nsd = compute_surface_dice(*pair, [1.0], **expected)
        assert scores.hd95 == pytest.approx(float(hd95), rel=1e-5)
        assert scores.nsd == pytest.approx(float(nsd), rel=1e-5)
        assert scores.dice_volume == pytest.approx(brute_force_dice(predicted, truth))
        by_slice = [brute_force_dice(p, t) for p, t in zip(predicted, truth, strict=True)]
        assert scores.dice_slice == pytest.approx(np.mean(by_slice))
        assert scores.slices == len(own.mask)
    counts = evaluation.thresholds[data.cases().index(case)]
    foreground = probs.sum(0) if parts == 1 else probs[1:].sum(0)
    assert counts.pixels.sum() == known.sum()
    assert counts.foreground.sum() == ((own.mask > 0) & known).sum()
    assert counts.pixels[60:].sum() == ((foreground >= 0.6) & known).sum()
    assert counts.highest == pytest.approx(foreground[known].max(), rel=1e-6)


def test_a_case_that_is_not_scaled_and_all_pictures_are_those_of_the_working_grid(odd):
    _, prepared, native = odd(2, own_grid=True)
    _, _, working = odd(2, own_grid=False)
    assert native.cases["c"] == working.cases["c"]
    assert native.cases["a"] != working.cases["a"]
    assert native.shown.keys() == working.shown.keys()
    for slice_id, mask in native.shown.items():
        np.testing.assert_array_equal(mask, working.shown[slice_id])
    height, width = prepared.valid[0]
    truth = prepared.masks[:5, :height, :width]
    probs = torch.tensor(prepared.images[:5, :, :height, :width]).float()
    labels = Graded(2)(probs).argmax(1).numpy()
    assert working.cases["a"].classes[0].dice_volume == pytest.approx(
        brute_force_dice((labels == 1) & (truth != UNKNOWN), truth == 1)
    )


def test_probabilities_on_a_large_grid_come_in_parts_of_the_size_of_a_batch(odd, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "albench.training.evaluation.to_own_grid",
        lambda probs, shape: sizes.append((len(probs), shape)) or to_own_grid(probs, shape),
    )
    odd(1, own_grid=True)
    assert sizes == [(1, (37, 53))] * 5 + [(2, (13, 41))] * 2
