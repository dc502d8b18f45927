"""Evaluation: predict every slice of a labeled set and score it case by case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.data import LabeledStack, SliceStack
from albench.masks import Ids, Mask, foreground
from albench.metrics import CaseScores, score_case, summarize
from albench.probabilities import predicted_masks
from albench.runs.records import Metrics
from albench.training.confidence import ThresholdCounts, count_thresholds
from albench.training.device import to_device
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


def evaluate(predictor: Predictor, labeled: LabeledStack, tolerance: float) -> Evaluation:
    """Segment every slice (`albench.probabilities.predicted`) and compare with the truth.

    Args:
        tolerance: of the surface Dice, in millimeters.
    """
    slices = labeled.slices
    cases, thresholds, shown = {}, [], {}
    for index, name in enumerate(slices.cases):
        ids = slices.of(index)
        truth = labeled.masks(ids)
        prediction, counts = _predicted(predictor, slices, ids, truth)
        thresholds.append(counts)
        height, width = slices.valid[ids[0]]
        inside = np.s_[:, :height, :width]
        spacing, classes = slices.spacing[index], len(slices.classes)
        cases[name] = score_case(prediction[inside], truth[inside], spacing, tolerance, classes)
        for row in _extremes(truth):
            shown[int(ids[row])] = prediction[row]
    return Evaluation(cases, thresholds, shown)


def example_slices(labeled: LabeledStack) -> Ids:
    """Ids of the slices whose predictions are shown: of each case the largest and a small foreground."""
    slices = labeled.slices
    cases = [slices.of(index) for index in range(len(slices.cases))]
    return np.array(sorted(int(ids[row]) for ids in cases for row in _extremes(labeled.masks(ids))), dtype=np.int64)


def _predicted(predictor: Predictor, slices: SliceStack, ids: Ids, truth: Mask) -> tuple[Mask, ThresholdCounts]:
    """(n, H, W) masks, nothing in the padding, and the counts of all slices together."""
    masks, counts, done = [], [], 0
    for some, probs, valid, _ in predictor.predict(slices, ids):
        masks.append(predicted_masks(probs, valid))
        target = to_device(truth[done : done + len(some)], predictor.device)
        counts.append(count_thresholds(probs, valid, target))
        done += len(some)
    return np.concatenate(masks), ThresholdCounts.collect(counts)


def _extremes(truth: Mask) -> set[int]:
    """Rows of the largest foreground and of the smallest with a tenth of it; none if all are empty.

    Where an object ends there are slices with a pixel or two, which show nothing.
    """
    area = np.count_nonzero(foreground(truth), (1, 2))
    if not area.any():
        return set()
    enough = 10 * area >= area.max()
    return {int(area.argmax()), int(np.where(enough, area, area.max() + 1).argmin())}
