"""What a suite tells while it goes on."""

from __future__ import annotations

from collections.abc import Sequence

from albench.benchmarks.plan import PlannedRun
from albench.runs.records import RoundRecord


class SuiteCallback:
    """Does nothing; derive from it and override what you need."""

    def on_preparation(self, done: int, total: int | None, case: str) -> None:
        """Data are being prepared: cases done, cases in all, the last case's name."""

    def on_plan(self, name: str, chosen: Sequence[PlannedRun], left: Sequence[PlannedRun]) -> None:
        """The runs of the suite are known; those `left` are not finished."""

    def on_start(self, runs: Sequence[PlannedRun], done: Sequence[int], parallel: int, where: str) -> None:
        """Runs are about to start.

        Args:
            runs: all that are left.
            done: finished rounds of each.
            parallel: runs at once.
            where: on what they run, in words.
        """

    def on_run_start(self, run: PlannedRun) -> None:
        """A run starts, or starts again after an error."""

    def on_round(self, run: PlannedRun, record: RoundRecord) -> None:
        """A round is finished and stored."""

    def on_run_finish(self, run: PlannedRun) -> None:
        """A run is complete."""

    def on_retry(self, run: PlannedRun, error: str) -> None:
        """A run failed and will be tried again."""

    def on_failure(self, run: PlannedRun, error: str) -> None:
        """A run failed and is given up."""

    def on_end(self) -> None:
        """No run is at work any more, also after an error or Ctrl-C."""
