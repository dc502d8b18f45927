"""The progress of the runs in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from albench.annotation.project import Project
from albench.console import decimal
from albench.errors import StoreError
from albench.runs.discovery import discover
from albench.runs.layout import names_of
from albench.runs.live_suite import LiveSuite, live_suite
from albench.runs.manifest import read_manifest
from albench.runs.reader import RunReader
from albench.runs.records import Manifest
from albench.runs.unfinished import unfinished

UNFINISHED = "*"
"""The mark of a run whose last training ended at its best epoch, because it was allowed no more."""

State = Literal["finished", "running", "failed", "interrupted", "waiting", "damaged"]


@dataclass(frozen=True)
class RunState:
    """The progress of one run.

    Attributes:
        title: of the table in which it stands: suite and group, or the dataset under which the run is filed.
        strategy: its name, or its label in a suite.
        run: name of its folder.
        state: of a damaged run, only the attributes above and `problem` are known. A run whose masks people draw is
            waiting for them, or finished if other settings have replaced its own.
        problem: what is damaged; empty otherwise.
        done: finished rounds.
        rounds: rounds in total; None if people end them when they like.
        awaited: the round of a project whose drawings a waiting run needs; None of another run.
        failure: the error that ended it, in one sentence; empty without one.
        labeled: labeled share of the pool in the last finished round.
        dice_slice: slice Dice in the last finished round.
        dice_volume: volume Dice in the last finished round.
        unfinished: whether the training of that round was still improving at the last allowed epoch.
    """

    title: str
    strategy: str
    run: str
    state: State
    problem: str = ""
    done: int = 0
    rounds: int | None = 0
    awaited: int | None = None
    failure: str = ""
    labeled: float | None = None
    dice_slice: float | None = None
    dice_volume: float | None = None
    unfinished: bool = False

    def cells(self) -> list[str]:
        """The values after the title as text, for a table."""
        labeled = "-" if self.labeled is None else f"{self.labeled:.1%}"
        rounds = f"{self.done}" if self.rounds is None else f"{self.done}/{self.rounds}"
        state = self.state if self.awaited is None else f"waiting for drawings of round {self.awaited}"
        return [
            self.strategy,
            self.run,
            "-" if self.state == "damaged" else rounds,
            f"{state}{UNFINISHED}" if self.unfinished else state,
            labeled,
            decimal(self.dice_slice),
            decimal(self.dice_volume),
        ]


@dataclass(frozen=True)
class Listed:
    """What its suite says of a run.

    Attributes:
        title: suite and group.
        label: of its method.
    """

    title: str
    label: str


def run_states(out: Path) -> tuple[list[RunState], list[str], list[str]]:
    """The state of every run at or below `out`.

    Runs of a suite come first, group by group in its order, and have the names that its file gives them now.

    Returns:
        The states, a sentence for each damaged run or manifest, and one for each file of a suite that cannot be read.

    Raises:
        StoreError: `out` is not a folder.
    """
    found = discover(out)
    manifests, problems = manifests_in(found.suites)
    suites = {folder: (manifest.name, live_suite(manifest)) for folder, manifest in manifests.items()}
    listed = dict(chain.from_iterable(_listed(folder, name, live) for folder, (name, live) in suites.items()))
    places = {folder: place for place, folder in enumerate(listed)}
    runs = sorted(found.runs, key=lambda run: places.get(run.folder, len(places)))
    states = [_state(run, listed.get(run.folder)) for run in runs]
    notes = [f"{name}: {live.problem}" for name, live in suites.values() if live.problem]
    return states, problems + [state.problem for state in states if state.problem], notes


def manifests_in(suites: Iterable[Path]) -> tuple[dict[Path, Manifest], list[str]]:
    """{folder: manifest} of suites, and a sentence for each that is damaged."""
    manifests: dict[Path, Manifest] = {}
    problems = []
    for folder in suites:
        try:
            manifest = read_manifest(folder)
        except StoreError as error:
            problems.append(str(error))
        else:
            manifests |= {folder: manifest} if manifest else {}
    return manifests, problems


def _listed(suite: Path, name: str, live: LiveSuite) -> Iterator[tuple[Path, Listed]]:
    """(folder of a run, what its suite says of it), group by group; last those that are not in its file any more."""
    groups = {group: place for place, group in enumerate(dict.fromkeys(run.group for run in live.runs))}
    for run in sorted(live.runs, key=lambda run: groups[run.group]):
        yield suite / run.folder, Listed(f"{name}: {run.group}", run.label)
    for run in live.removed:
        yield suite / run.folder, Listed(f"{name}: not in its file any more", run.label)


def _state(run: RunReader, listed: Listed | None) -> RunState:
    dataset, strategy = names_of(run.folder)
    try:
        config, progress, failure = run.config, run.progress, run.failure
        project = Project.of_run(run.folder)
        asking = project is not None and project.waiting is not None and project.waiting.folder == run.folder
        awaited = project.rounds if project and asking else None
        rounds = None if project else progress.done if run.finished else run.rounds
    except StoreError as error:
        named = listed or Listed(f"runs on {dataset}", strategy)
        return RunState(named.title, named.label, run.folder.name, "damaged", str(error))
    last = progress.last
    named = listed or Listed(f"runs on {config.title}", config.strategy.name)
    replaced = project is not None and not asking
    state = _name(
        finished=run.finished or replaced, running=run.running, failed=failure is not None, waiting=awaited is not None
    )
    return RunState(
        title=named.title,
        strategy=named.label,
        run=run.folder.name,
        state=state,
        done=progress.done,
        rounds=rounds,
        awaited=awaited if state == "waiting" else None,
        failure=failure.error if failure is not None and state == "failed" else "",
        labeled=last.share if last else None,
        dice_slice=last.test.dice_slice if last else None,
        dice_volume=last.test.dice_volume if last else None,
        unfinished=last is not None and any(unfinished(config, last.fit_trainings)),
    )


def _name(*, finished: bool, running: bool, failed: bool, waiting: bool) -> State:
    if finished:
        return "finished"
    if running:
        return "running"
    if failed:
        return "failed"
    return "waiting" if waiting else "interrupted"
