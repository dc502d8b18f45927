"""Two folders of runs in one collection: the methods of the second get labels of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from albench.reports.collection import Collection
from albench.reports.runs import REFERENCE, Problem, Run
from albench.runs.comparability import differences


def combine(ours: Collection, theirs: Collection, folder: Path) -> Collection:
    """Our collection, with their runs as further methods such as `star (OTHER)`.

    A run whose protocol differs from those of all our groups becomes a problem. So does a supervised reference of a
    group that has one, because each group has only one.

    Args:
        ours: comparable runs.
        theirs: comparable runs.
        folder: of theirs.
    """
    name = theirs.name if theirs.name != ours.name else str(folder)
    groups = {run.protocol: run.group for run in reversed(ours.runs)}
    with_reference = {run.group for run in ours.runs if run.strategy == REFERENCE}
    added: list[Run] = []
    problems: list[Problem] = []
    for run in theirs.runs:
        label, group = _label(run, name, ours), groups.get(run.protocol)
        second = run.strategy == REFERENCE and group in with_reference
        if group is not None and not second:
            added.append(replace(run, label=label, group=group, source=name))
            continue
        if second:
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
    """The label, with the folder's name, and with the version of albench if none of our runs has it."""
    versions = {own.reader.stored_config.albench for own in ours.runs}
    version = run.reader.stored_config.albench
    return f"{run.label} ({name})" if version in versions else f"{run.label} ({name}, albench {version})"


def _difference(run: Run, ours: Collection) -> str:
    """The first setting that differs from the most similar of our runs."""
    found = [differences(run.reader.config, own.reader.config) for own in ours.runs]
    return min(found, key=len)[0] if found else "no run is finished"
