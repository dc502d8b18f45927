"""A suite as its file lists it now: what was renamed, added or removed there since the runs were started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from albench.errors import ConfigError
from albench.files import is_file
from albench.runs.records import Manifest, ManifestRun
from albench.suite_file import SuiteFile, entry_digest, read_suite_file


@dataclass(frozen=True)
class Method:
    """A method on one dataset with one variant, as a file names it.

    Attributes:
        label: of the method.
        group: empty for the only group of a suite.
        dataset: its name in a suite of several; otherwise empty.
    """

    label: str
    group: str
    dataset: str


@dataclass(frozen=True)
class LiveSuite:
    """The runs of a manifest as the file of the suite lists them.

    Attributes:
        about: the purpose of the suite.
        runs: of methods that are in the file, in its order and with its names; then those that were never from it.
        added: methods of the file that have no run in the manifest.
        removed: runs of methods that are no longer in the file.
        problem: why the file cannot be read, in one sentence; empty if it can, or if it is not there.
    """

    about: str
    runs: tuple[ManifestRun, ...]
    added: tuple[Method, ...] = ()
    removed: tuple[ManifestRun, ...] = ()
    problem: str = ""


def live_suite(manifest: Manifest) -> LiveSuite:
    """The runs of a manifest as its file lists them, or as it does itself where there is no file that can be read."""
    as_listed = LiveSuite(manifest.about, manifest.runs)
    if not manifest.file or not is_file(Path(manifest.file)):
        return as_listed
    try:
        file = read_suite_file(Path(manifest.file))
        methods = methods_of(file)
    except ConfigError as error:
        return replace(as_listed, problem=f"methods are named as in the last run of the suite: {error}")
    runs = renamed(manifest.runs, methods)
    places = {digest: place for place, digest in enumerate(methods)}
    kept = [run for run in runs if not run.entry or run.entry in methods]
    started = {run.entry for run in runs}
    return LiveSuite(
        about=file.about,
        runs=tuple(sorted(kept, key=lambda run: places.get(run.entry, len(places)))),
        added=tuple(method for digest, method in methods.items() if digest not in started),
        removed=tuple(run for run in runs if run.entry and run.entry not in methods),
    )


def methods_of(file: SuiteFile) -> dict[str, Method]:
    """{digest: method} of a file, in the order of its groups. Raises ConfigError."""
    return {
        entry_digest(dataset, variant, method): Method(
            method.title, dataset.group(variant, named=file.several), dataset.title if file.several else ""
        )
        for place, dataset in file.datasets.items()
        for variant in file.variants_of(place, dataset).values()
        for method in file.strategies.values()
    }


def renamed(runs: Iterable[ManifestRun], methods: Mapping[str, Method]) -> list[ManifestRun]:
    """Runs with the names that a file gives their methods, by digest; the others as they are."""
    return [_renamed(run, methods[run.entry]) if run.entry in methods else run for run in runs]


def _renamed(run: ManifestRun, method: Method) -> ManifestRun:
    dataset = method.dataset or run.dataset
    return replace(run, label=method.label, group=method.group or dataset, dataset=dataset)
