"""How far the runs of a folder are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from albench.errors import StoreError
from albench.runs.manifest import MANIFEST, read_manifest
from albench.runs.store import find_runs, is_finished, is_running, read_config, read_failure, read_records


@dataclass(frozen=True)
class RunState:
    """One run.

    Attributes:
        strategy: its name, or the label that a suite gives it.
        run: name of its folder.
        done: finished rounds.
        rounds: rounds in all.
        labeled: share of the pool that is labeled in the last finished round.
        dice_slice: of the last finished round.
        dice_volume: of the last finished round.
    """

    dataset: str
    strategy: str
    run: str
    state: Literal["finished", "running", "failed", "interrupted", "damaged"]
    done: int
    rounds: int
    labeled: float | None
    dice_slice: float | None
    dice_volume: float | None

    def cells(self) -> list[str]:
        """The values beside the dataset as text, for a table."""
        shown = [f"{value:.3f}" if value is not None else "-" for value in (self.dice_slice, self.dice_volume)]
        share = "-" if self.labeled is None else f"{self.labeled:.1%}"
        return [
            self.strategy,
            self.run,
            f"{self.done}/{self.rounds}",
            self.state,
            share,
            *shown,
        ]


def run_states(out: Path) -> list[RunState]:
    """The state of every run at or below `out`, under the label that its suite gives it.

    Raises:
        StoreError: there is no such folder, or a suite's manifest is damaged.
    """
    labels: dict[Path, str] = {}
    for path in sorted(out.rglob(MANIFEST)):
        manifest = read_manifest(path.parent)
        assert manifest is not None
        labels |= {path.parent / run["folder"]: run["label"] for run in manifest["runs"]}
    states = ((folder, _state(folder)) for folder in find_runs(out))
    return [replace(state, strategy=labels.get(folder, state.strategy)) for folder, state in states]


def _state(folder: Path) -> RunState:
    try:
        config, records, failure = read_config(folder), read_records(folder), read_failure(folder)
        assert config is not None  # find_runs looks for it
    except StoreError:
        return RunState(folder.parent.parent.name, folder.parent.name, folder.name, "damaged", 0, 0, None, None, None)
    last = records[-1] if records else None
    finished = is_finished(records, config["protocol"]["rounds"])
    return RunState(
        dataset=config["title"],
        strategy=config["strategy"]["name"],
        run=folder.name,
        state=_name(finished=finished, running=is_running(folder), failed=failure is not None),
        done=len(records),
        rounds=len(records) if finished else config["protocol"]["rounds"] + 1,
        labeled=last["share"] if last else None,
        dice_slice=last["test"]["dice_slice"] if last else None,
        dice_volume=last["test"]["dice_volume"] if last else None,
    )


def _name(*, finished: bool, running: bool, failed: bool) -> Literal["finished", "running", "failed", "interrupted"]:
    if finished:
        return "finished"
    if running:
        return "running"
    return "failed" if failed else "interrupted"
