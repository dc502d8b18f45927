"""Evaluation: predict every slice of a labeled set, and score it case by case in threads.

Distances between surfaces take a CPU longer than the prediction takes a GPU, which goes on with the query meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from albench.data import LabeledStack
from albench.masks import Ids, Mask, foreground
from albench.metrics import CaseScores, score_case, summarize
from albench.probabilities import predicted_masks
from albench.runs.records import Metrics
from albench.training.confidence import ThresholdCounts, count_thresholds
from albench.training.device import start_read, to_device
from albench.training.predictor import Predictor


@dataclass(frozen=True)
class Evaluation:
    """How well a set was segmented.

    Attributes:
        cases: metrics by case.
        thresholds: counts by case, from which confidence follows.
        shown: {slice id: (h, w) predicted mask} of each case's slices with the largest and a small foreground.
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

    Args:
        tolerance: of the surface Dice, in millimeters.
    """
    slices = labeled.slices
    scored = partial(_score, labeled, tolerance)
    cases = [
        threads.submit(scored, index, *_predict(predictor, labeled, slices.of(index)))
        for index in range(len(slices.cases))
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


def _predict(predictor: Predictor, labeled: LabeledStack, ids: Ids) -> tuple[_Read, _Read]:
    """Functions that wait for the (n, H, W) label maps of a case, 0 in the padding, and for its (b, 201) counts."""
    masks, counts = [], []
    for some, probs, valid, _ in predictor.predict(labeled.slices, ids):
        masks.append(predicted_masks(probs, valid))
        counts.append(count_thresholds(probs, valid, to_device(labeled.masks(some), predictor.device)))
    return start_read(torch.cat(masks)), start_read(torch.stack(counts))


def _score(labeled: LabeledStack, tolerance: float, index: int, masks: _Read, counts: _Read) -> _Case:
    slices = labeled.slices
    ids, prediction = slices.of(index), masks()
    truth = labeled.masks(ids)
    height, width = slices.valid[ids[0]]
    inside = np.s_[:, :height, :width]
    scores = score_case(prediction[inside], truth[inside], slices.spacing[index], tolerance, len(slices.classes))
    shown = {int(ids[row]): prediction[row].copy() for row in _extremes(truth)}
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
