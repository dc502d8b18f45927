"""The progress of a suite on a terminal: a live table, or one line per round if output is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.remaining_time import RemainingTime
from albench.benchmarks.suite_callback import SuiteCallback
from albench.console import bar, decimal, describe, duration, say, waiting
from albench.errors import counted
from albench.runs.records import RoundRecord


@dataclass
class _Row:
    """A run in progress."""

    run: PlannedRun
    since: float
    last: RoundRecord | None = None


class ProgressTable(SuiteCallback):
    """Shows the runs in progress, and counts those that are finished and failed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, _Row] = {}
        self._total = self._finished = self._failed = 0
        self._remaining = RemainingTime([], [], 1)
        self._preparing: Callable[..., None] | None = None
        self._shown = ExitStack()
        self._awaited = ExitStack()

    def on_preparation(self, done: int, total: int | None, case: str) -> None:
        """Show a progress bar."""
        self._awaited.close()
        if self._preparing is None:
            self._preparing = self._shown.enter_context(bar(self._console, "preparing the data, once"))
        self._preparing(done, total)

    def on_plan(self, name: str, chosen: Sequence[PlannedRun], left: Sequence[PlannedRun]) -> None:
        """Print how many runs are finished."""
        self._awaited.close()
        self._shown.close()
        finished = len(chosen) - len(left)
        self._console.print(f"{name}: {counted(len(chosen), 'run')}, {finished} already finished", highlight=False)

    def on_wait(self, words: str) -> None:
        """Say it, if it takes long."""
        self._awaited.close()
        self._awaited.enter_context(waiting(self._console, words))

    def on_probe(self, processes: int) -> None:
        """Show what is measured."""
        self._shown.close()
        words = "1 process trains" if processes == 1 else f"{processes} processes train"
        self.on_wait(f"measuring how fast {words} on the GPU")

    def on_notice(self, text: str) -> None:
        """Print the line."""
        self._shown.close()
        say(self._console, text)

    def on_start(self, runs: Sequence[PlannedRun], done: Sequence[int], parallel: int, where: str) -> None:
        """Start the live table."""
        self._total, self._remaining = len(runs), RemainingTime(runs, done, parallel)
        self._awaited.close()
        self._console.print(f"{parallel} in parallel {where}", highlight=False)
        if self._console.is_terminal:
            live = Live(console=self._console, refresh_per_second=2, transient=True, get_renderable=self._panel)
            self._shown.enter_context(live)
        else:
            self.on_wait(f"computing the first round of {counted(min(parallel, len(runs)), 'run')}")

    def on_earlier_rounds(self, run: PlannedRun, records: Sequence[RoundRecord]) -> None:
        """Take their time for that of the method until it is measured."""
        self._remaining.add_earlier(run, [record.cost.seconds.total for record in records])

    def on_run_start(self, run: PlannedRun) -> None:
        """Add a row."""
        self._rows[run.name] = _Row(run, time.monotonic())

    def on_round(self, run: PlannedRun, record: RoundRecord) -> None:
        """Update the row; print a line if there is no live table."""
        row, now = self._rows[run.name], time.monotonic()
        self._remaining.add(run, record.round, now - row.since)
        row.since, row.last = now, record
        if not self._console.is_terminal:
            left = self._remaining.total()
            self._print(run, describe(record) + ("" if left is None else f"  {duration(left)} left"))

    def on_run_notice(self, run: PlannedRun, text: str) -> None:
        """Print it."""
        self._print(run, text)

    def on_run_finish(self, run: PlannedRun) -> None:
        """Remove the row."""
        self._finished += 1
        self._remove(run)
        self._print(run, "finished")

    def on_retry(self, run: PlannedRun, error: str) -> None:
        """Print the error."""
        self._print(run, f"failed, trying again: {error}")

    def on_failure(self, run: PlannedRun, error: str) -> None:
        """Remove the row and print the error."""
        self._failed += 1
        self._remove(run)
        self._print(run, f"FAILED: {error}")

    def on_end(self) -> None:
        """Stop the live table."""
        self._awaited.close()
        self._shown.close()

    def _remove(self, run: PlannedRun) -> None:
        self._rows.pop(run.name, None)
        self._remaining.remove(run)

    def _print(self, run: PlannedRun, what: str) -> None:
        self._awaited.close()
        count = f"[{self._finished + self._failed}/{self._total}]"
        say(self._console, f"{count} {run.name}: {what}")

    def _panel(self) -> Group:
        table = Table("run", "round", "slice Dice", "volume Dice", "left")
        for row in self._rows.values():
            left = self._remaining.of(row.run)
            table.add_row(
                escape(row.run.name),
                f"{self._remaining.done(row.run)}/{row.run.rounds}",
                decimal(row.last.test.dice_slice if row.last else None),
                decimal(row.last.test.dice_volume if row.last else None),
                "" if left is None else duration(left),
            )
        counts = f"{self._finished} of {self._total} runs finished, {self._failed} failed"
        left = self._remaining.total()
        return Group(table, counts if left is None else f"{counts}, {duration(left)} left")


class SearchProgress(ProgressTable):
    """The same for a search, with the metrics of the validation cases: it must not be steered by the test cases."""

    def on_round(self, run: PlannedRun, record: RoundRecord) -> None:
        """As for any suite, without the metrics of the test cases."""
        super().on_round(run, replace(record, test=record.val or record.test))
