"""What labels cost an annotator, beyond their number, and what computing cost.

Slices and cases are counted in the log of queries; foreground pixels and outlines of bought slices were measured by
the oracle when it sold them. Runs of a version that did not measure them have NaN there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.errors import StoreError
from albench.reports.runs import Run

AXES: Mapping[str, str] = {
    "slices": "labeled slices",
    "nonempty": "labeled slices with foreground",
    "foreground": "foreground drawn [pixels]",
    "contour": "outlines drawn [pixels]",
    "cases": "cases touched",
}
"""Axes of cost, and what they are called with their unit."""

PHASES = ("fit", "evaluate", "query")


def annotation(run: Run, axis: str) -> NDArray[np.float64]:
    """(r,) what all labels of each round's training cost, on one axis."""
    if axis in ("slices", "cases"):
        counted = _log_of(run.folder, len(run.records), tuple(name for name, _ in initial_slices(run)))
        return np.array([names if axis == "cases" else slices for slices, names in counted], dtype=float)
    return np.array([record.get("effort", {}).get(axis, np.nan) for record in run.records], dtype=float)


def initial_slices(run: Run) -> list[tuple[str, int]]:
    """(case, position) of what was labeled before round 0."""
    return [(named["case"], int(named["position"])) for named in run.split["initial"]]


def asked_slices(run: Run, index: int) -> list[tuple[str, int]]:
    """(case, position) of what was asked for after the training of a round. Raises StoreError if it is damaged."""
    return list(_asked(run.folder, index))


def seconds(run: Run, phase: str) -> NDArray[np.float64]:
    """(r,) seconds of a phase in each round; NaN where it was not measured."""
    return np.array([_cost(record).get("seconds", {}).get(phase, np.nan) for record in run.records], dtype=float)


def steps(run: Run) -> NDArray[np.float64]:
    """(r,) optimizer steps of each round: those really made where that was counted, else those of its trainings."""
    return np.array([_steps(record) for record in run.records], dtype=float)


def _steps(record: Mapping[str, object]) -> float:
    counted = _cost(record).get("steps")
    if isinstance(counted, int | float):
        return float(counted)
    trainings = [*_list(record.get("fit")), *_list(record.get("query"))]
    return float(sum(training["steps"] for training in trainings))


def _cost(record: Mapping[str, object]) -> dict[str, dict[str, float]]:
    cost = record.get("cost")
    return cost if isinstance(cost, dict) else {}


def _list(value: object) -> list[dict[str, float]]:
    return value if isinstance(value, list) else []


@cache
def _log_of(folder: Path, rounds: int, initial: tuple[str, ...]) -> list[tuple[int, int]]:
    """Slices and cases labeled in each round's training."""
    count, cases, log = len(initial), set(initial), []
    for index in range(rounds):
        log.append((count, len(cases)))
        if index < rounds - 1:
            asked = _asked(folder, index)
            count += len(asked)
            cases |= {name for name, _ in asked}
    return log


@cache
def _asked(folder: Path, index: int) -> tuple[tuple[str, int], ...]:
    path = folder / "rounds" / f"{index:02d}" / "query.json"
    try:
        slices = json.loads(path.read_text())["slices"]
        return tuple((named["case"], int(named["position"])) for named in slices)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"'{path}' must be of a finished round, it is missing or damaged: remove the run") from error
