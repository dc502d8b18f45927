"""Evaluation: predict every slice of a labeled set, and score it case by case in threads.

Distances between surfaces take a CPU longer than the prediction takes a GPU, which goes on with the query meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from albench.data import LabeledStack, OwnGrid
from albench.masks import Ids, Mask, foreground
from albench.metrics import CaseScores, score_case, summarize
from albench.probabilities import predicted_masks
from albench.runs.records import Metrics
from albench.training.confidence import ThresholdCounts, count_thresholds
from albench.training.device import start_read
from albench.training.packing import unpacked
from albench.training.predictor import Prediction, Predictor


@dataclass(frozen=True)
class Evaluation:
    """How well a set was segmented.

    Attributes:
        cases: metrics by case.
        thresholds: counts by case, from which confidence follows.
        shown: {slice id: (H, W) predicted mask} of each case's slices with the largest and a small foreground, on the
            working grid.
    """

    cases: dict[str, CaseScores]
    thresholds: list[ThresholdCounts]
    shown: dict[int, Mask]

    def metrics(self) -> Metrics:
        """Metrics of the whole set."""
        return summarize([scores.all for scores in self.cases.values()])

    def metrics_of_class(self, label: int) -> Metrics:
        """Metrics of the whole set for one class, from 1."""
        return summarize([scores.classes[label - 1] for scores in self.cases.values()])


@dataclass(frozen=True)
class Scoring:
    """An evaluation whose scores threads compute."""

    names: Sequence[str]
    cases: Sequence[Future[_Case]]

    def result(self) -> Evaluation:
        """Wait for the scores of all cases."""
        done = [case.result() for case in self.cases]
        shown = {i: mask for case in done for i, mask in case.shown.items()}
        scores = dict(zip(self.names, (case.scores for case in done), strict=True))
        return Evaluation(scores, [case.counts for case in done], shown)


def evaluate(predictor: Predictor, labeled: LabeledStack, tolerance: float, threads: Executor) -> Scoring:
    """Segment every slice (`albench.probabilities.predicted`), and let threads compare the cases with the truth.

    Where `labeled` has the masks of a case on the grid of its file, probabilities are brought there before they become
    a label map (`to_own_grid`).

    Args:
        tolerance: of the surface Dice, in millimeters.
    """
    slices, scored = labeled.slices, partial(_score, labeled, tolerance)
    batches = [batch for case in range(len(slices.cases)) for batch in predictor.split(slices.of(case))]
    predictions = predictor.predict_batches(slices, batches)
    cases = [
        threads.submit(scored, case, *_collect(found, labeled, case))
        for case, found in groupby(predictions, lambda batch: int(slices.case[batch.ids[0]]))
    ]
    return Scoring(slices.cases, cases)


def example_slices(labeled: LabeledStack) -> Ids:
    """Ids of the slices whose predictions are shown: of each case the largest and a small foreground."""
    slices = labeled.slices
    cases = [slices.of(index) for index in range(len(slices.cases))]
    return np.array(sorted(int(ids[row]) for ids in cases for row in _extremes(labeled.masks(ids))), dtype=np.int64)


class _Case(NamedTuple):
    """Results for a case, as in `Evaluation`."""

    scores: CaseScores
    counts: ThresholdCounts
    shown: dict[int, Mask]


_Read = Callable[[], NDArray[Any]]


class _Compared(NamedTuple):
    """Slices that are compared, on the device and on the grid of their truth: arguments of `count_thresholds`."""

    probs: Tensor
    valid: Tensor
    truth: Tensor


def _collect(predictions: Iterable[Prediction], labeled: LabeledStack, case: int) -> tuple[_Read, _Read, _Read]:
    """Functions that wait for three arrays of a case, whose predictions are given: its (n, h, w) label maps on the grid
    on which it is scored, 0 in the padding, the same on the working grid, and its (b, 201) counts.
    """
    scored, working, counts = [], [], []
    for batch in predictions:
        own = labeled.own_grid(case)
        if own is not None:
            working.append(predicted_masks(batch.probs, batch.valid))
        for part in _on_working_grid(batch, labeled) if own is None else _on_own_grid(batch, labeled, own):
            scored.append(predicted_masks(part.probs, part.valid))
            counts.append(count_thresholds(*part))
    masks = start_read(torch.cat(scored))
    return masks, start_read(torch.cat(working)) if working else masks, start_read(torch.stack(counts))


def _on_working_grid(batch: Prediction, labeled: LabeledStack) -> Iterator[_Compared]:
    """A batch as it is."""
    yield _Compared(batch.probs, batch.valid, unpacked(labeled.truth, batch.ids, batch.probs.device))


def _on_own_grid(batch: Prediction, labeled: LabeledStack, own: OwnGrid) -> Iterator[_Compared]:
    """A batch on the grid of the file, in parts that need about as much memory as the batch."""
    slices = labeled.slices
    height, width = slices.valid[batch.ids[0]]
    shape = own.masks.packed.shape[-2], own.masks.width
    size = max(1, batch.valid.numel() // (shape[0] * shape[1]))
    for start in range(0, len(batch.ids), size):
        probs = to_own_grid(batch.probs[start : start + size, :, :height, :width], shape)
        truth = unpacked(own.masks, slices.position[batch.ids[start : start + size]], probs.device)
        yield _Compared(probs, probs.new_ones(()).expand(len(probs), *shape), truth)


def to_own_grid(probs: Tensor, shape: tuple[int, int]) -> Tensor:
    """(b, k, *shape) probabilities on the grid of a file, from (b, k, h, w) of the part without padding.

    The inverse of `albench.data.preprocessing.fit_to`: bilinear, with an anti-aliasing filter where pixels get larger.
    """
    return interpolate(probs, shape, mode="bilinear", antialias=True)


def _score(labeled: LabeledStack, tolerance: float, case: int, scored: _Read, working: _Read, counts: _Read) -> _Case:
    slices = labeled.slices
    ids, prediction, own = slices.of(case), scored(), labeled.own_grid(case)
    on_working = labeled.masks(ids)
    if own is None:
        height, width = slices.valid[ids[0]]
        inside = np.s_[:, :height, :width]
        pair, spacing = (prediction[inside], on_working[inside]), slices.spacing[case]
    else:
        pair, spacing = (prediction, own.mask), np.array(own.spacing)
    scores = score_case(*pair, spacing, tolerance, len(slices.classes))
    shown = {int(ids[row]): working()[row].copy() for row in _extremes(on_working)}
    return _Case(scores, ThresholdCounts.collect(counts()), shown)


def _extremes(truth: Mask) -> set[int]:
    """Rows of the largest foreground and of the smallest with a tenth of it; none if all are empty.

    Where an object ends there are slices with a pixel or two, which show nothing.
    """
    area = np.count_nonzero(foreground(truth), (1, 2))
    if not area.any():
        return set()
    enough = 10 * area >= area.max()
    return {int(area.argmax()), int(np.where(enough, area, area.max() + 1).argmin())}
