"""Evaluation: predict every slice of a labeled set and score it case by case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albench.acquisition import binarize
from albench.data import LabeledStack, SliceStack
from albench.masks import Ids, Mask
from albench.metrics import CaseScores, score_case, summarize
from albench.runs.records import Metrics
from albench.training.predictor import Predictor


@dataclass(frozen=True)
class Evaluation:
    """How well a set was segmented.

    Attributes:
        cases: metrics by case.
        shown: {slice id: (h, w) predicted mask} of each case's slices with the largest and a small foreground.
    """

    cases: dict[str, CaseScores]
    shown: dict[int, Mask]

    def metrics(self) -> Metrics:
        """Metrics of the whole set."""
        return summarize(list(self.cases.values()))


def evaluate(predictor: Predictor, labeled: LabeledStack) -> Evaluation:
    """Segment every slice, foreground where the probability is at least 0.5, and compare with the truth."""
    slices = labeled.slices
    cases, shown = {}, {}
    for index, name in enumerate(slices.cases):
        ids = slices.of(index)
        prediction, truth = _predicted(predictor, slices, ids), labeled.masks(ids)
        height, width = slices.valid[ids[0]]
        inside = np.s_[:, :height, :width]
        cases[name] = score_case(prediction[inside], truth[inside], slices.spacing[index])
        for row in _extremes(truth):
            shown[int(ids[row])] = prediction[row]
    return Evaluation(cases, shown)


def example_slices(labeled: LabeledStack) -> Ids:
    """Ids of the slices whose predictions are shown: of each case the largest and a small foreground."""
    slices = labeled.slices
    cases = [slices.of(index) for index in range(len(slices.cases))]
    return np.array(sorted(int(ids[row]) for ids in cases for row in _extremes(labeled.masks(ids))), dtype=np.int64)


def _predicted(predictor: Predictor, slices: SliceStack, ids: Ids) -> Mask:
    """(n, H, W) masks, nothing in the padding."""
    return np.concatenate([binarize(probs, valid) for _, probs, valid in predictor.predict(slices, ids)])


def _extremes(truth: Mask) -> set[int]:
    """Rows of the largest foreground and of the smallest with a tenth of it; none if all are empty.

    Where an object ends there are slices with a pixel or two, which show nothing.
    """
    area = truth.sum((1, 2), dtype=np.int64)
    if not area.any():
        return set()
    enough = 10 * area >= area.max()
    return {int(area.argmax()), int(np.where(enough, area, area.max() + 1).argmin())}
