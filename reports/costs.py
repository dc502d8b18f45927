"""What annotation and computing cost, round by round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from albench.reports.runs import Run
from albench.runs.records import FitSummary, RoundRecord

AXES: Mapping[str, str] = {
    "slices": "labeled slices",
    "nonempty_slices": "labeled nonempty slices",
    "foreground_pixels": "foreground pixels",
    "contour_length": "contour length [pixels]",
    "cases": "labeled cases",
}
"""Fields of `albench.runs.records.AnnotationCost`, and the titles of their axes with units."""

PHASES = ("fit", "evaluate", "query")
"""Fields of `albench.runs.records.PhaseSeconds`."""

Values = NDArray[np.float64]


def annotation_cost(run: Run, axis: str) -> Values:
    """(r,) cost of all labels that count in each round, on one axis."""
    return np.array([getattr(record.annotation_cost, axis) for record in run.reader.records], dtype=float)


def labeled(run: Run) -> Values:
    """(r,) labels that count in each round: those of the pool, and of the validation slices if they are charged."""
    return np.array([record.labeled for record in run.reader.records], dtype=float) + charged(run)


def share(run: Run) -> Values:
    """(r,) the same as a share of all slices that can be labeled."""
    if not charged(run):
        return np.array([record.share for record in run.reader.records], dtype=float)
    split = run.reader.split
    return labeled(run) / (sum(split.slices.values()) - split.undrawn + charged(run))


def share_title(run: Run) -> str:
    """The title of an axis of shares in percent."""
    if run.reader.split.undrawn:
        return "labeled slices [% of possible ones]"
    if run.reader.config.protocol.validation == "charged":
        return "labeled slices [% of pool and validation]"
    return "labeled slices [% of the pool]"


def charged(run: Run) -> int:
    """Labels of validation slices that count, see `protocol.validation`."""
    return run.reader.split.val_slices if run.reader.config.protocol.validation == "charged" else 0


def seconds(run: Run, phase: str) -> Values:
    """(r,) seconds of a phase in each round."""
    return np.array([getattr(record.cost.seconds, phase) for record in run.reader.records], dtype=float)


def cpu_seconds(run: Run, phase: str) -> Values:
    """(r,) seconds of the CPU, of all threads together, of a phase in each round; NaN where they are not recorded."""
    costs = [record.cost.cpu_seconds for record in run.reader.records]
    return np.array([math.nan if cost is None else getattr(cost, phase) for cost in costs])


def step_seconds(run: Run) -> Values:
    """(r,) seconds of an optimizer step of `fit` with the validation after it: the median over the epochs of a round.

    NaN for a round without seconds of its epochs, such as one whose training was taken from another run.
    """
    return np.array([_step_seconds(record) for record in run.reader.records])


def median_step_seconds(runs: Sequence[Run]) -> float:
    """Seconds of an optimizer step of a method: the median of `step_seconds` over its runs and rounds after round 0.

    Strategies share the training of round 0, which few runs compute. It counts only for runs without another round,
    such as those of the supervised reference. NaN if nothing is recorded.
    """
    of_rounds = [step_seconds(run) for run in runs]
    known = np.concatenate([own[1:] if len(own) > 1 else own for own in of_rounds])
    return math.nan if np.isnan(known).all() else float(np.nanmedian(known))


def _step_seconds(record: RoundRecord) -> float:
    seconds, trainings = record.cost.fit_epoch_seconds, record.fit_trainings
    epochs = [training.epochs for training in trainings]
    if not seconds or len(seconds) != sum(epochs):
        return math.nan
    per_epoch = np.repeat([training.steps / training.epochs for training in trainings], epochs)
    return float(np.median(np.array(seconds) / per_epoch))


def steps(run: Run) -> Values:
    """(r,) optimizer steps taken until each evaluation, a shared training of round 0 included.

    With validation the weights of an earlier step may be evaluated, see `FitSummary.best_step`.
    """
    return _behind(run, "steps")


def steps_per_round(runs: Sequence[Run]) -> float:
    """Optimizer steps that a method takes per round: the mean over the rounds of a run, and over the runs.

    With warm start those of the last network, whose training goes on through all rounds, are divided by their number.
    """
    return float(np.mean([_per_round(run) for run in runs]))


def _per_round(run: Run) -> float:
    taken = steps(run)
    return float(taken[-1] / len(taken) if run.reader.config.protocol.warm_start else taken.mean())


def slices_read(run: Run) -> Values:
    """(r,) slices that were read for these steps, each time counted."""
    return _behind(run, "slices")


def _behind(run: Run, field: str) -> Values:
    """(r,) sum of a field over the trainings that an evaluated network has had since it had initial weights.

    That is all trainings before, and one of a query counts from the next round on. Without warm start, every round
    begins with initial weights.
    """

    def total(trainings: Sequence[FitSummary]) -> float:
        return float(sum(getattr(training, field) for training in trainings))

    records = run.reader.records
    if not run.reader.config.protocol.warm_start:
        return np.array([total(record.fit_trainings) for record in records])
    fits = accumulate(total(record.fit_trainings) for record in records)
    queries = accumulate((total(record.query_trainings) for record in records[:-1]), initial=0.0)
    return np.array([fit + query for fit, query in zip(fits, queries, strict=True)])
