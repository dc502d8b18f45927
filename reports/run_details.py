"""What the page shows of a single run: its rounds, and the test cases of the last round."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from albench.reports.audits import audits_of
from albench.reports.costs import PHASES, labeled, seconds, share, steps
from albench.reports.group import Group
from albench.reports.reported_metrics import Metric, find_metric
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.runs.records import Confidence, RoundRecord

_METRICS = ("dice_volume", "dice_foreground", "dice_slice", "hd95", "nsd")
_VALIDATION = "val_dice_volume"

ROUND_TITLES = (
    "round",
    "labeled",
    "share",
    *_METRICS,
    _VALIDATION,
    "highest probability",
    "dice_volume (best threshold)",
    "pseudo-labels (Dice)",
    "steps taken",
    "seconds",
)
"""Titles of the columns of `RunDetails.rounds`."""

CASE_TITLES = ("case", *_METRICS)
"""Titles of the columns of `RunDetails.cases`."""


@dataclass(frozen=True)
class RunDetails:
    """One run as text.

    Attributes:
        label: name of its method.
        replicate: its seed, and its split if there are several.
        folder: where it is stored.
        value: the reported metric in the last round.
        options: of the strategy.
        audits: of its queries.
        rounds: a row per round; the threshold is that with the highest volume Dice on the validation cases, which is
            not comparable with the other columns if there are several classes, and then left out.
        cases: a row per test case, of the last round.
    """

    label: str
    replicate: str
    folder: Path
    value: str
    options: str
    audits: str
    rounds: list[list[str]]
    cases: list[list[str]]


def details_of_runs(results: Results, group: Group) -> Iterator[RunDetails]:
    """The details of all runs of a group, including its own reference, one after the other."""
    return (_details(results, label, run) for label, run in _with_reference(group))


def settings_text(settings: Mapping[str, object]) -> str:
    """Settings as `name = value, ...`, without import paths and hashes of code."""
    shown = {key: value for key, value in settings.items() if key not in ("spec", "code")}
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in shown.items())


def _with_reference(group: Group) -> Iterator[tuple[str, Run]]:
    for label, runs in group.methods.items():
        yield from ((label, run) for run in sorted(runs, key=lambda one: one.replicate))
    if group.borrowed is None:
        yield from ((run.label, run) for run in group.reference)


def _details(results: Results, label: str, run: Run) -> RunDetails:
    records = run.reader.records
    last, one_class = records[-1], len(run.reader.config.classes) == 1
    metrics = [find_metric(name, results.metric.class_name) for name in _METRICS]
    validation = find_metric(_VALIDATION, results.metric.class_name)
    total = sum(seconds(run, phase) for phase in PHASES)
    labels, shares, trained = labeled(run), share(run), steps(run)
    rounds = [
        [
            str(record.round),
            f"{labels[index]:.0f}",
            f"{shares[index]:.1%}",
            *(_number(metric, metric.of(record)) for metric in metrics),
            _number(validation, validation.of(record)),
            "" if record.confidence.highest is None else f"{record.confidence.highest:.3f}",
            _at_best_threshold(record.confidence) if one_class else "",
            _pseudo(record),
            f"{trained[index]:.0f}",
            f"{total[index]:.0f}",
        ]
        for index, record in enumerate(records)
    ]
    return RunDetails(
        label=label,
        replicate=run.replicate_title,
        folder=run.reader.folder,
        value=results.metric.text(results.metric.of(last)),
        options=settings_text(run.reader.config.strategy.options) or "none",
        audits=str(audits_of(run)),
        rounds=rounds,
        cases=[[case, *(_number(metric, metric.of_case(last, case)) for metric in metrics)] for case in last.cases],
    )


def _at_best_threshold(confidence: Confidence) -> str:
    """Volume Dice of the test cases at the best threshold, and that threshold; empty without validation cases."""
    if confidence.threshold is None or confidence.test_dice is None:
        return ""
    return f"{confidence.test_dice:.3f} ({confidence.threshold:.2f})"


def _pseudo(record: RoundRecord) -> str:
    """Number of pseudo-labels and their Dice; empty without pseudo-labels."""
    if not record.pseudo.count:
        return ""
    dice = "" if record.pseudo.dice is None else f"{record.pseudo.dice:.3f}"
    return f"{record.pseudo.count} ({dice})"


def _number(metric: Metric, value: float) -> str:
    return "" if math.isnan(value) else metric.text(value)
