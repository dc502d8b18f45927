"""What annotation and computing cost, round by round."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from albench.reports.runs import Run

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


def annotation_cost(run: Run, axis: str) -> NDArray[np.float64]:
    """(r,) cost of all labels that each round trained on, on one axis."""
    return np.array([getattr(record.annotation_cost, axis) for record in run.reader.records], dtype=float)


def seconds(run: Run, phase: str) -> NDArray[np.float64]:
    """(r,) seconds of a phase in each round."""
    return np.array([getattr(record.cost.seconds, phase) for record in run.reader.records], dtype=float)


def steps(run: Run) -> NDArray[np.float64]:
    """(r,) optimizer steps that each round made."""
    return np.array([record.cost.steps for record in run.reader.records], dtype=float)
