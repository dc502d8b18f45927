"""Reading a run, or what keeps it from being one that numbers can be made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from albench.errors import StoreError
from albench.runs.store import Record, is_finished, read_config, read_records

REFERENCE = "full"
"""The strategy that labels everything: the supervised reference."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        label: the method's name in tables.
        group: what it is compared within.
        records: one per round, in order.
        split: cases of each part, and the initial slices.
        environment: versions and hardware.
    """

    label: str
    group: str
    seed: int
    folder: Path
    config: Record
    records: list[Record] = field(repr=False)
    split: Record = field(repr=False)
    environment: Record = field(repr=False)

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self.config["strategy"]["name"]

    @property
    def title(self) -> str:
        """How a sentence names it."""
        return f"{self.label} on {self.group}, seed {self.seed}"


@dataclass(frozen=True)
class Problem:
    """A run that the numbers do without.

    Attributes:
        state: missing, failed, unfinished, damaged, duplicate, other version or other protocol.
        sentence: which run, and why.
    """

    state: str
    group: str
    label: str
    seed: int
    sentence: str


def read_run(folder: Path, label: str, group: str, seed: int) -> Run | Problem:
    """A finished run, or what keeps it from being one."""

    def problem(state: str, why: str) -> Problem:
        return Problem(state, group, label, seed, f"{label} on {group}, seed {seed}, {why}")

    try:
        config = read_config(folder)
        records = read_records(folder)
        failure = _read_json(folder / "failure.json") if (folder / "failure.json").exists() else None
        if config is None:
            return problem("missing", "is missing: it was not started")
        rounds = config["protocol"]["rounds"]
        if is_finished(records, rounds):
            split, environment = _read_json(folder / "split.json"), _read_json(folder / "environment.json")
            return Run(label, group, int(config["seed"]), folder, config, records, split, environment)
    except StoreError as error:
        return problem("damaged", f"cannot be read: {error}")
    except (KeyError, TypeError):
        return problem("damaged", "cannot be read: its records lack what every record has")
    if failure is not None:
        reason = str(failure.get("error", "no reason is given")).rstrip(".")
        where = f"in round {failure.get('round', '?')} after {failure.get('attempts', '?')} attempts"
        return problem("failed", f"failed {where}: {reason}")
    return problem("unfinished", f"is not finished: {len(records)} of {rounds + 1} rounds are done")


def _read_json(path: Path) -> Record:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"'{path}' must be of a finished run, it is missing or damaged") from error
