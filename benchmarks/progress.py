"""What is shown while a suite is computed: in a terminal one live table, elsewhere a line per finished round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.storage import Storage
from albench.cli.run_progress import describe, duration
from albench.runs.store import Record


@dataclass
class _Line:
    """A run that is being computed."""

    run: PlannedRun
    done: int
    since: float
    times: list[float] = field(default_factory=list)
    last: Record | None = None

    def left(self) -> float | None:
        """Seconds until it ends, from the mean time of the rounds done here."""
        return (self.run.rounds - self.done) * sum(self.times) / len(self.times) if self.times else None


class ProgressTable:
    """Keeps count of the runs of a suite and shows them.

    Args:
        runs: what is to be computed.
        storage: where they are kept.
        parallel: how many are computed at once.

    Attributes:
        failures: {folder: error} of the runs that were given up.
    """

    def __init__(self, console: Console, runs: Sequence[PlannedRun], storage: Storage, parallel: int) -> None:
        self._console, self._parallel = console, parallel
        self._lines: dict[str, _Line] = {}
        self._total, self._finished = len(runs), 0
        self.failures: dict[str, str] = {}
        self._rounds_left = {run.name: run.rounds - run.done(storage.local) for run in runs}
        self._times: list[float] = []
        self._live = Live(console=console, refresh_per_second=2, transient=True, get_renderable=self._panel)

    def start(self, run: PlannedRun) -> None:
        """A run begins, or begins again after an error."""
        self._lines[run.name] = _Line(run, run.rounds - self._rounds_left[run.name], time.monotonic())

    def round(self, run: PlannedRun, record: Record) -> None:
        """A round is finished."""
        line, now = self._lines[run.name], time.monotonic()
        line.times.append(now - line.since)
        line.since, line.done, line.last = now, record["round"] + 1, record
        self._times.append(line.times[-1])
        self._rounds_left[run.name] = run.rounds - line.done
        if not self._console.is_terminal:
            self._say(run, f"{describe(record)}  {self._all_left()} left")

    def finish(self, run: PlannedRun) -> None:
        """A run is complete."""
        self._finished += 1
        self._remove(run)
        self._say(run, "finished")

    def again(self, run: PlannedRun, error: str) -> None:
        """A run will be tried again."""
        self._say(run, f"tried again: {error}")

    def fail(self, run: PlannedRun, error: str) -> None:
        """A run was given up."""
        self.failures[run.folder] = error
        self._remove(run)
        self._say(run, f"FAILED: {error}")

    def _remove(self, run: PlannedRun) -> None:
        self._lines.pop(run.name, None)
        self._rounds_left.pop(run.name, None)

    def _say(self, run: PlannedRun, what: str) -> None:
        count = f"[{self._finished + len(self.failures)}/{self._total}]"
        self._console.print(f"{count} {run.name}: {what}", markup=False, highlight=False, soft_wrap=True)

    def _all_left(self) -> str:
        if not self._times:
            return "?"
        at_once = max(1, min(self._parallel, len(self._rounds_left)))
        return duration(sum(self._rounds_left.values()) * sum(self._times) / len(self._times) / at_once)

    def _panel(self) -> Group:
        table = Table("run", "round", "slice Dice", "volume Dice", "left")
        for line in self._lines.values():
            test = line.last["test"] if line.last else {}
            left = line.left()
            table.add_row(
                escape(line.run.name),
                f"{line.done}/{line.run.rounds}",
                *("-" if test.get(name) is None else f"{test[name]:.3f}" for name in ("dice_slice", "dice_volume")),
                "?" if left is None else duration(left),
            )
        counts = (
            f"{self._finished} of {self._total} runs finished, {len(self.failures)} failed, {self._all_left()} left"
        )
        return Group(table, counts)

    def __enter__(self) -> ProgressTable:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
