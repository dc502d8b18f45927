"""Which trainings were still improving when they had to end, so that more epochs might have given another result."""

from __future__ import annotations

from collections.abc import Sequence

from albench.config import RunConfig
from albench.runs.records import FitSummary


def unfinished(config: RunConfig, trainings: Sequence[FitSummary]) -> list[bool]:
    """(n,) whether the last epoch of each training was the best one, so that only `training.epochs` ended it.

    It is never known of a fixed number of optimizer steps, which is equal for all strategies on purpose.
    """
    fixed = config.training.stop == "steps" or config.protocol.compute == "matched"
    return [not fixed and training.best_epoch == training.epochs for training in trainings]
