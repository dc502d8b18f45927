"""All runs of a folder: those that its suite lists, or all that lie in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from albench.bundles import Bundle, is_bundle, read_bundle
from albench.bundles.manifest import LeftOut
from albench.errors import ConfigError, StoreError, counted, suggestion
from albench.reports.runs import REFERENCE, Problem, Run, read_run
from albench.runs import find_runs
from albench.runs.comparability import labels_and_groups
from albench.runs.layout import names_of
from albench.runs.live_suite import Method, live_suite
from albench.runs.manifest import MANIFEST, read_manifest
from albench.runs.records import Manifest, ManifestRun

_Listed = tuple[Path, str, str, int | None, str | None]
"""Folder, label, group, seed and dataset of a run, as `albench.reports.runs.read_run` takes them."""


@dataclass(frozen=True)
class Collection:
    """All runs of a folder.

    Attributes:
        name: of the bundle, the suite or the folder.
        digest: of the suite; None without a suite.
        runs: finished and verified.
        problems: of all other runs.
        order: labels in the order of the suite; empty without a suite.
        about: what the suite is for.
        notes: what the file of the suite changes, a sentence each.
        only: labels of the methods that were chosen; empty for all.
        suite: name of the suite; empty without one.
        bundled: whether the runs are those of a bundle.
    """

    name: str
    digest: str | None
    runs: list[Run]
    problems: list[Problem]
    order: tuple[str, ...] = ()
    about: str = ""
    notes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    suite: str = ""
    bundled: bool = False

    @property
    def source(self) -> str:
        """What the runs are of, as a caption names it."""
        suite = f"{self.suite} ({self.digest})"
        if self.bundled:
            return f"Results {self.name} of suite {suite}" if self.suite else f"Results {self.name}"
        return f"Suite {suite}" if self.suite else f"Runs in {self.name}"

    def without(self, rejected: Iterable[tuple[Run, Problem]]) -> Collection:
        """The collection with some runs replaced by their problems."""
        rejected = list(rejected)
        folders = {run.reader.folder for run, _ in rejected}
        left = [run for run in self.runs if run.reader.folder not in folders]
        return replace(self, runs=left, problems=[*self.problems, *(problem for _, problem in rejected)])

    def limited_to(self, labels: Sequence[str]) -> Collection:
        """The collection with the methods of these labels and the reference. Raises ConfigError if one is unknown."""
        found = {one.label: None for one in (*self.runs, *self.problems)}
        known = [*dict.fromkeys((*self.order, *found))]
        for label in labels:
            if label not in known:
                hint = suggestion(label, known)
                raise ConfigError(f"--only must name a method of the report, got '{label}': {hint}")
        kept = {*labels, *(run.label for run in self.runs if run.strategy == REFERENCE)}
        return replace(
            self,
            runs=[run for run in self.runs if run.label in kept],
            problems=[problem for problem in self.problems if problem.label in kept],
            only=tuple(label for label in known if label in labels),
        )


def collect(folder: Path) -> Collection:
    """Read all runs of a bundle, all that the manifest of a suite lists, or all at or below a folder without either.

    Methods have the names that the file of the suite gives them now, if it is there. Those that it no longer has are
    left out, and those that have no run yet are problems.

    Raises:
        StoreError: the folder is missing, or a bundle is damaged.
    """
    if is_bundle(folder):
        return _of_bundle(read_bundle(folder))
    found, unreadable = find_runs(folder), []
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        manifest, sentence = None, f"all runs below '{folder}' are reported under their own names: {error}"
        unreadable = [Problem("damaged", folder.resolve().name, MANIFEST, None, sentence)]
    if manifest is None:
        runs, problems = _read_all(_unlisted(reader.folder) for reader in found)
        return Collection(folder.resolve().name, None, list(_named(runs)), unreadable + problems)
    live = live_suite(manifest)
    runs, problems = _read_all((folder / run.folder, run.label, run.group, run.seed, run.dataset) for run in live.runs)
    problems += (_not_run_yet(method, live.runs) for method in live.added)
    order = tuple(dict.fromkeys(run.label for run in live.runs))
    notes = (*filter(None, [live.problem]), *_removed(manifest, live.removed, folder))
    return Collection(manifest.name, manifest.digest, runs, problems, order, live.about, notes, suite=manifest.name)


def _of_bundle(bundle: Bundle) -> Collection:
    """The runs of a bundle, which were verified before they were bundled."""
    manifest = bundle.manifest
    runs = [Run(one.label, one.group, one.run, one.dataset) for one in bundle.runs]
    problems = [_not_bundled(one) for one in manifest.left_out]
    return Collection(
        manifest.name,
        manifest.digest,
        runs,
        problems,
        manifest.order,
        manifest.about,
        suite=manifest.suite,
        bundled=True,
    )


def _not_bundled(one: LeftOut) -> Problem:
    which = "" if one.seed is None else f"seed {one.seed}, "
    sentence = f"{one.label} on {one.group}, {which}is not in the bundle: {one.state}"
    return Problem(one.state, one.group, one.label, one.seed, sentence)


def _not_run_yet(method: Method, runs: Sequence[ManifestRun]) -> Problem:
    group = method.group or (runs[0].group if runs else "")
    where = f" on {group}" if group else ""
    return Problem("not run yet", group, method.label, None, f"{method.label}{where} is not run yet")


def _removed(manifest: Manifest, runs: Sequence[ManifestRun], folder: Path) -> tuple[str, ...]:
    """What became of the methods that the file of a suite does not have any more, in one sentence if there are any."""
    if not runs:
        return ()
    labels = list(dict.fromkeys(run.label for run in runs))
    are, they = ("is", "its") if len(labels) == 1 else ("are", "their")
    return (
        f"{'; '.join(labels)} {are} not in '{manifest.file}' any more and left out: {they} {counted(len(runs), 'run')} "
        f"stay{'s' * (len(runs) == 1)} in '{folder}'",
    )


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
