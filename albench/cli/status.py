"""The progress of the runs in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from albench.console import decimal
from albench.errors import StoreError
from albench.runs.discovery import discover
from albench.runs.layout import names_of
from albench.runs.manifest import read_manifest
from albench.runs.reader import RunReader
from albench.runs.records import ManifestRun
from albench.runs.unfinished import unfinished

UNFINISHED = "*"
"""The mark of a run whose last training ended at its best epoch, because it was allowed no more."""

State = Literal["finished", "running", "failed", "interrupted", "damaged"]


@dataclass(frozen=True)
class RunState:
    """The progress of one run.

    Attributes:
        dataset: its name in a suite of several; otherwise under which the run is filed.
        strategy: its name, or its label in a suite.
        run: name of its folder.
        state: of a damaged run, only the attributes above and `problem` are known.
        problem: what is damaged; empty otherwise.
        done: finished rounds.
        rounds: rounds in total.
        labeled: labeled share of the pool in the last finished round.
        dice_slice: slice Dice in the last finished round.
        dice_volume: volume Dice in the last finished round.
        unfinished: whether the training of that round was still improving at the last allowed epoch.
    """

    dataset: str
    strategy: str
    run: str
    state: State
    problem: str = ""
    done: int = 0
    rounds: int = 0
    labeled: float | None = None
    dice_slice: float | None = None
    dice_volume: float | None = None
    unfinished: bool = False

    def cells(self) -> list[str]:
        """The values after the dataset as text, for a table."""
        labeled = "-" if self.labeled is None else f"{self.labeled:.1%}"
        rounds = "-" if self.state == "damaged" else f"{self.done}/{self.rounds}"
        return [
            self.strategy,
            self.run,
            rounds,
            f"{self.state}{UNFINISHED}" if self.unfinished else self.state,
            labeled,
            decimal(self.dice_slice),
            decimal(self.dice_volume),
        ]


def run_states(out: Path) -> tuple[list[RunState], list[str]]:
    """The state of every run at or below `out`, and a sentence for each damaged run or manifest.

    Raises:
        StoreError: `out` is not a folder.
    """
    found = discover(out)
    listed, problems = listed_runs(found.suites)
    states = [_state(run, listed.get(run.folder)) for run in found.runs]
    return states, problems + [state.problem for state in states if state.problem]


def listed_runs(suites: Iterable[Path]) -> tuple[dict[Path, ManifestRun], list[str]]:
    """{folder of a run: what its suite says of it}, and a sentence for each damaged manifest."""
    listed: dict[Path, ManifestRun] = {}
    problems = []
    for folder in suites:
        try:
            manifest = read_manifest(folder)
        except StoreError as error:
            problems.append(str(error))
        else:
            listed |= {folder / run.folder: run for run in manifest.runs} if manifest else {}
    return listed, problems


def _state(run: RunReader, listed: ManifestRun | None) -> RunState:
    label, title = (listed.label, listed.dataset) if listed else (None, None)
    try:
        config, progress, failure = run.config, run.progress, run.failure
    except StoreError as error:
        dataset, strategy = names_of(run.folder)
        return RunState(title or dataset, label or strategy, run.folder.name, "damaged", str(error))
    last = progress.last
    return RunState(
        dataset=title or config.title,
        strategy=label or config.strategy.name,
        run=run.folder.name,
        state=_name(finished=run.finished, running=run.running, failed=failure is not None),
        done=progress.done,
        rounds=progress.done if run.finished else config.protocol.rounds + 1,
        labeled=last.share if last else None,
        dice_slice=last.test.dice_slice if last else None,
        dice_volume=last.test.dice_volume if last else None,
        unfinished=last is not None and any(unfinished(config, last.fit_trainings)),
    )


def _name(*, finished: bool, running: bool, failed: bool) -> State:
    if finished:
        return "finished"
    if running:
        return "running"
    return "failed" if failed else "interrupted"
