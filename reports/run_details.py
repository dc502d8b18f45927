"""What the page shows of a single run: its rounds, and the test cases of the last round."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from albench.reports.costs import PHASES, seconds
from albench.reports.group import Group
from albench.reports.reported_metrics import Metric, find_metric
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.runs.records import Metrics, RoundRecord

METRICS = tuple(map(find_metric, ("dice_slice", "dice_foreground", "dice_volume", "hd95")))
"""Metrics in the columns of the two tables."""

_VALIDATION = find_metric("val_dice_slice")


@dataclass(frozen=True)
class RunDetails:
    """One run as text.

    Attributes:
        label: name of its method.
        seed: of the run.
        folder: its name.
        value: the reported metric in the last round.
        options: of the strategy.
        rounds: a row per round: round, labeled slices, share, METRICS, validation Dice, pseudo-labels, seconds.
        cases: a row per test case: name, METRICS of the last round.
    """

    label: str
    seed: int
    folder: str
    value: str
    options: str
    rounds: list[list[str]]
    cases: list[list[str]]


def details_of_runs(results: Results, group: Group) -> list[RunDetails]:
    """The details of all runs of a group, including its own reference."""
    return [_details(results, label, run) for label, run in _with_reference(group)]


def settings_text(settings: Mapping[str, object]) -> str:
    """Settings as `name = value, ...`, without import paths and hashes of code."""
    shown = {key: value for key, value in settings.items() if key not in ("spec", "code")}
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in shown.items())


def _with_reference(group: Group) -> Iterator[tuple[str, Run]]:
    for label, runs in group.methods.items():
        yield from ((label, run) for run in sorted(runs, key=lambda one: one.seed))
    if group.borrowed is None:
        yield from ((run.label, run) for run in group.reference)


def _details(results: Results, label: str, run: Run) -> RunDetails:
    records = run.reader.records
    total = sum(seconds(run, phase) for phase in PHASES)
    rounds = [
        [
            str(record.round),
            str(record.labeled),
            f"{record.share:.1%}",
            *_metrics(record.test),
            _number(_VALIDATION, _VALIDATION.of(record)),
            _pseudo(record),
            f"{total[index]:.0f}",
        ]
        for index, record in enumerate(records)
    ]
    return RunDetails(
        label=label,
        seed=run.seed,
        folder=run.reader.folder.name,
        value=results.metric.text(results.metric.of(records[-1])),
        options=settings_text(run.reader.config.strategy.options) or "none",
        rounds=rounds,
        cases=[[name, *_metrics(metrics)] for name, metrics in records[-1].cases.items()],
    )


def _metrics(metrics: Metrics) -> list[str]:
    return [_number(metric, metric.value(metrics)) for metric in METRICS]


def _pseudo(record: RoundRecord) -> str:
    """Number of pseudo-labels and their Dice; empty without pseudo-labels."""
    if not record.pseudo.count:
        return ""
    dice = "" if record.pseudo.dice is None else f"{record.pseudo.dice:.3f}"
    return f"{record.pseudo.count} ({dice})"


def _number(metric: Metric, value: float) -> str:
    return "" if math.isnan(value) else metric.text(value)
