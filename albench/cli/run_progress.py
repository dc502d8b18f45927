"""The progress of a run on a terminal: a live panel, or one line per round if output is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from albench.callback import NullCallback
from albench.config import RunConfig
from albench.console import decimal, describe, duration, new_table, say, waiting
from albench.runs.records import RoundRecord
from albench.runs.untrained import KEPT_INITIAL, untrained


class LineProgress(NullCallback):
    """One line per round. It is a context manager because `LiveProgress` is one.

    Args:
        console: to print on.
        heading: lines to print when the run starts.
    """

    def __init__(self, console: Console, heading: Sequence[str] = ()) -> None:
        self._console, self._heading = console, heading
        self._config: RunConfig | None = None
        self._rounds = 0
        self._start = self._after_round_0 = time.monotonic()
        self._timed = 0
        self._awaited = ExitStack()
        self.before = 0

    def on_start(self, config: RunConfig, records: Sequence[RoundRecord]) -> None:
        """Print the heading, and the number of rounds that an earlier process has finished."""
        self._config, self._rounds, self.before = config, config.protocol.rounds, len(records)
        self._start = self._after_round_0 = time.monotonic()
        for line in self._heading:
            self.on_notice(line)
        if records:
            self._console.print(f"finished rounds: {len(records)}", highlight=False)
        self._wait_for_the_first_round(len(records))

    def on_round(self, record: RoundRecord) -> None:
        """Print the round."""
        self._awaited.close()
        if record.round:
            self._timed += 1
        else:
            self._after_round_0 = time.monotonic()
        self._console.print(f"{describe(record)}  {self.time_left(record)}".rstrip(), highlight=False)
        if self._config and untrained(self._config, record):
            self.on_notice(f"the network of round {record.round} is untrained: {KEPT_INITIAL}")

    def on_notice(self, text: str) -> None:
        """Print it."""
        say(self._console, text)

    def time_left(self, record: RoundRecord) -> str:
        """The estimated time left, from the mean time of the rounds of this process after round 0; empty without any.

        Round 0 trains longer than the others, or takes its training from another run.
        """
        if record.round == self._rounds or record.unlabeled == 0:
            return "done"
        if not self._timed:
            return ""
        per_round = (time.monotonic() - self._after_round_0) / self._timed
        return f"{duration((self._rounds - record.round) * per_round)} left"

    def _wait_for_the_first_round(self, index: int) -> None:
        """Say which round is computed, if it takes long."""
        if index <= self._rounds:
            self._awaited.enter_context(waiting(self._console, f"computing round {index} of {self._rounds}"))

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._awaited.close()


class LiveProgress(LineProgress):
    """The lines of finished rounds, with the current phase and epoch below them."""

    def __init__(self, console: Console, heading: Sequence[str] = ()) -> None:
        super().__init__(console, heading)
        self._now = "starting"
        self._left = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._panel)

    def on_phase(self, round_index: int, name: str) -> None:
        """Show the round and the phase."""
        self._now = f"round {round_index} of {self._rounds}: {name}"

    def on_epoch(self, epoch: int, epochs: int, loss: float, val_loss: float | None) -> None:
        """Show the epoch and its losses."""
        head = self._now.split(",")[0]
        validation = "" if val_loss is None else f", validation {val_loss:.4f}"
        self._now = f"{head}, epoch {epoch} of at most {epochs}, loss {loss:.4f}{validation}"

    def on_round(self, record: RoundRecord) -> None:
        """Print the round and update the time left."""
        super().on_round(record)
        self._left = self.time_left(record)

    def _wait_for_the_first_round(self, index: int) -> None:
        """The panel says it."""

    def _panel(self) -> Text:
        return Text(f"{self._now}  {duration(time.monotonic() - self._start)} so far  {self._left}", style="cyan")

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def curve(records: Sequence[RoundRecord], title: str) -> Table:
    """The table that is printed at the end: metrics and costs of all rounds."""
    dice = ("slice\nDice", "foreground\nDice", "volume\nDice")
    heads = ("round", "labeled", "share", *dice, "HD95\nmm", "epochs", "seconds")
    table = new_table(*heads, title=title, numbers=heads)
    for record in records:
        test = record.test
        table.add_row(
            str(record.round),
            str(record.labeled),
            f"{record.share:.1%}",
            *map(decimal, (test.dice_slice, test.dice_foreground, test.dice_volume)),
            decimal(test.hd95, 1),
            str(sum(training.epochs for training in record.fit_trainings)),
            f"{record.cost.seconds.total:.0f}",
        )
    return table
