"""Another folder of runs beside the first: its methods get names of their own, and only equal protocols are combine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from albench.reports.collection import Collection
from albench.reports.protocol import differences, protocol_digest
from albench.reports.runs import REFERENCE, Problem, Run


def combine(ours: Collection, theirs: Collection, place: Path) -> Collection:
    """Our collection with their runs as methods of their own, such as `star (OTHER)`.

    A run whose protocol is that of none of our groups becomes a problem, and so does a supervised reference, because
    a group has one.

    Args:
        ours: comparable runs.
        theirs: comparable runs.
        place: where theirs lie.
    """
    name = theirs.name if theirs.name != ours.name else str(place)
    groups = {protocol_digest(run.config): run for run in reversed(ours.runs)}
    added: list[Run] = []
    problems: list[Problem] = []
    for run in theirs.runs:
        label = _label(run, name, ours)
        model = groups.get(protocol_digest(run.config))
        if model is not None and run.strategy != REFERENCE:
            added.append(replace(run, label=label, group=model.group))
            continue
        if run.strategy == REFERENCE:
            why = f"the supervised reference is that of {ours.name}"
        else:
            why = f"{_difference(run, ours)} in {ours.name}"
        sentence = f"{run.title}, of {name} is not compared: {why}"
        problems.append(Problem("other protocol", run.group, label, run.seed, sentence))
    named = [replace(problem, sentence=f"{problem.sentence} ({name})") for problem in theirs.problems]
    labels = tuple(dict.fromkeys(run.label for run in added))
    order = (*ours.order, *labels) if ours.order else ()
    return replace(ours, runs=[*ours.runs, *added], problems=[*ours.problems, *problems, *named], order=order)


def _label(run: Run, name: str, ours: Collection) -> str:
    """With its version where that differs from ours: it is another program, and said so."""
    versions = {own.config["albench"] for own in ours.runs}
    version = run.config["albench"]
    return f"{run.label} ({name})" if version in versions else f"{run.label} ({name}, albench {version})"


def _difference(run: Run, ours: Collection) -> str:
    """The setting that keeps a run from being compared with the group most like it."""
    found = [differences(run.config, own.config) for own in ours.runs]
    return min(found, key=len)[0] if found else "there are no runs"
