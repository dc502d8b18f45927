"""Progress of a suite."""

from __future__ import annotations

from collections.abc import Sequence

from albench.benchmarks.plan import PlannedRun
from albench.runs.records import RoundRecord


class SuiteCallback:
    """Called while a suite runs. The methods do nothing: derive from the class and override what you need."""

    def on_preparation(self, done: int, total: int | None, case: str) -> None:
        """A case is prepared: cases done, cases in total, name of the case."""

    def on_plan(self, name: str, chosen: Sequence[PlannedRun], left: Sequence[PlannedRun]) -> None:
        """The suite is planned: the chosen runs, and those that are left because they are not finished."""

    def on_wait(self, words: str) -> None:
        """What is done from now on, in a few words, until another method than `on_notice` is called."""

    def on_probe(self, processes: int) -> None:
        """Before the first run, some processes train together to see how many runs should share a GPU."""

    def on_notice(self, text: str) -> None:
        """Something that the user should know, in one line."""

    def on_start(self, runs: Sequence[PlannedRun], done: Sequence[int], parallel: int, where: str) -> None:
        """The first runs are about to start.

        Args:
            runs: that are left.
            done: finished rounds of each.
            parallel: number of runs at the same time.
            where: on what they run, in words.
        """

    def on_earlier_rounds(self, run: PlannedRun, records: Sequence[RoundRecord]) -> None:
        """Rounds that an earlier call has finished, of one run of every method that is left; after `on_start`."""

    def on_run_start(self, run: PlannedRun) -> None:
        """A run starts, or restarts after an error."""

    def on_run_notice(self, run: PlannedRun, text: str) -> None:
        """Something that the user should know of a run: how it is computed is not what it could be."""

    def on_round(self, run: PlannedRun, record: RoundRecord) -> None:
        """A round is finished and stored."""

    def on_run_finish(self, run: PlannedRun) -> None:
        """A run is complete."""

    def on_retry(self, run: PlannedRun, error: str) -> None:
        """A run failed and is tried again."""

    def on_failure(self, run: PlannedRun, error: str) -> None:
        """A run failed and is not tried again."""

    def on_end(self) -> None:
        """The suite has ended, possibly by an error or Ctrl-C; called after every other method."""
