"""All runs of a folder: those that its suite lists, or all that lie in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from albench.errors import StoreError
from albench.reports.runs import Problem, Run, read_run
from albench.runs import find_runs
from albench.runs.comparability import labels_and_groups
from albench.runs.layout import names_of
from albench.runs.manifest import MANIFEST, read_manifest

_Listed = tuple[Path, str, str, int | None, str | None]
"""Folder, label, group, seed and dataset of a run, as `albench.reports.runs.read_run` takes them."""


@dataclass(frozen=True)
class Collection:
    """All runs of a folder.

    Attributes:
        name: of the suite, or of the folder.
        digest: of the suite; None without a suite.
        runs: finished and verified.
        problems: of all other runs.
        order: labels in the order of the suite; empty without a suite.
        about: what the suite is for.
    """

    name: str
    digest: str | None
    runs: list[Run]
    problems: list[Problem]
    order: tuple[str, ...] = ()
    about: str = ""

    def without(self, rejected: Iterable[tuple[Run, Problem]]) -> Collection:
        """The collection with some runs replaced by their problems."""
        rejected = list(rejected)
        folders = {run.reader.folder for run, _ in rejected}
        left = [run for run in self.runs if run.reader.folder not in folders]
        return replace(self, runs=left, problems=[*self.problems, *(problem for _, problem in rejected)])


def collect(folder: Path) -> Collection:
    """Read all runs that the manifest of a suite lists, or all at or below a folder without one that can be read.

    Raises:
        StoreError: the folder is missing.
    """
    found, unreadable = find_runs(folder), []
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        manifest, sentence = None, f"all runs below '{folder}' are reported under their own names: {error}"
        unreadable = [Problem("damaged", folder.resolve().name, MANIFEST, None, sentence)]
    if manifest is None:
        runs, problems = _read_all(_unlisted(reader.folder) for reader in found)
        return Collection(folder.resolve().name, None, list(_named(runs)), unreadable + problems)
    listed = ((folder / run.folder, run.label, run.group, run.seed, run.dataset) for run in manifest.runs)
    runs, problems = _read_all(listed)
    order = tuple(dict.fromkeys(run.label for run in manifest.runs))
    return Collection(manifest.name, manifest.digest, runs, problems, order, manifest.about)


def _read_all(listed: Iterable[_Listed]) -> tuple[list[Run], list[Problem]]:
    runs: list[Run] = []
    problems: list[Problem] = []
    for folder, label, group, seed, dataset in listed:
        found = read_run(folder, label, group, seed, dataset)
        if isinstance(found, Run):
            runs.append(found)
        else:
            problems.append(found)
    return runs, problems


def _unlisted(folder: Path) -> _Listed:
    """A run with the label, group and seed of its path, because its settings may be unreadable."""
    seed = folder.name.removeprefix("seed-").partition("-")[0]
    dataset, strategy = names_of(folder)
    return folder, strategy, dataset, int(seed) if seed.isdigit() else None, None


def _named(runs: list[Run]) -> Iterator[Run]:
    """Runs with different labels where options differ, and different groups where protocols differ."""
    named = labels_and_groups([run.reader.config for run in runs])
    return (replace(run, label=label, group=group) for run, (label, group) in zip(runs, named, strict=True))
