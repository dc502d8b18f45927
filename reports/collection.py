"""All runs of a folder: those that a suite planned, or whatever it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from albench.reports.protocol import differing_options, protocol_digest
from albench.reports.runs import Problem, Run, read_run
from albench.runs.manifest import read_manifest
from albench.runs.store import find_runs


@dataclass(frozen=True)
class Collection:
    """All runs of a folder.

    Attributes:
        name: of the suite, or of the folder.
        digest: of the suite; None for runs that no suite planned.
        runs: those that are finished.
        problems: the others.
        order: labels in the order of the suite; empty without one.
        about: what the suite says of itself.
    """

    name: str
    digest: str | None
    runs: list[Run]
    problems: list[Problem]
    order: tuple[str, ...] = ()
    about: str = ""

    def without(self, problems: Iterable[tuple[Run, Problem]]) -> Collection:
        """The collection with some runs moved to the problems."""
        moved = list(problems)
        gone = {run.folder for run, _ in moved}
        left = [run for run in self.runs if run.folder not in gone]
        return replace(self, runs=left, problems=[*self.problems, *(problem for _, problem in moved)])


def collect(folder: Path) -> Collection:
    """Read all runs that `folder/suite.json` plans, or else all at or below `folder`.

    Raises:
        StoreError: the folder is missing, or suite.json is damaged.
    """
    found = find_runs(folder)
    plan = read_manifest(folder)
    if plan is not None:
        planned = [(folder / run["folder"], run["label"], run["group"], run["seed"]) for run in plan["runs"]]
        runs, problems = _read_all(planned)
        order = tuple(dict.fromkeys(label for _, label, _, _ in planned))
        return Collection(plan["name"], plan["digest"], runs, problems, order, str(plan.get("about", "")))
    unnamed = [(path, path.parent.name, path.parent.parent.name, _seed_of(path)) for path in found]
    runs, problems = _read_all(unnamed)
    return Collection(folder.resolve().name, None, list(_named(runs)), problems)


def _read_all(planned: Iterable[tuple[Path, str, str, int]]) -> tuple[list[Run], list[Problem]]:
    runs: list[Run] = []
    problems: list[Problem] = []
    for folder, label, group, seed in planned:
        found = read_run(folder, label, group, seed)
        if isinstance(found, Run):
            runs.append(found)
        else:
            problems.append(found)
    return runs, problems


def _seed_of(folder: Path) -> int:
    """From the folder's name, for runs whose settings may be unreadable."""
    seed = folder.name.removeprefix("seed-").partition("-")[0]
    return int(seed) if seed.isdigit() else -1


def _named(runs: list[Run]) -> Iterator[Run]:
    """Runs with labels and groups that tell apart what differs in options or protocol."""
    for run in runs:
        title = run.config["title"]
        own = protocol_digest(run.config)
        beside = [other for other in runs if other.config["title"] == title]
        group = title if len({protocol_digest(other.config) for other in beside}) == 1 else f"{title} ({own})"
        rivals = [
            other.config["strategy"]
            for other in beside
            if other.strategy == run.strategy and protocol_digest(other.config) == own
        ]
        options = differing_options(run.config["strategy"], rivals)
        label = f"{run.strategy} ({', '.join(options)})" if options else run.strategy
        yield replace(run, label=label, group=group)
