"""What a run shows while it goes on: a live panel in a terminal, one line per round elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from albench.console import new_table
from albench.runs.store import Record


class LineProgress:
    """One line per round."""

    def __init__(self, console: Console, rounds: int) -> None:
        self._console = console
        self._rounds = rounds
        self._start = time.monotonic()
        self._done = 0

    def phase(self, round_index: int, name: str) -> None:
        """Nothing to say before the round is over."""

    def epoch(self, epoch: int, epochs: int, loss: float, val_loss: float) -> None:
        """Nothing to say before the round is over."""

    def round(self, record: Record) -> None:
        """Print the round."""
        self._done += 1
        self._console.print(f"{describe(record)}  {self.time_left(record)}", highlight=False)

    def time_left(self, record: Record) -> str:
        """Time left, from the mean time of the rounds done here."""
        last = record["round"] == self._rounds or record["unlabeled"] == 0
        left = 0 if last else (self._rounds - record["round"]) * (time.monotonic() - self._start) / self._done
        return "done" if left == 0 else f"{duration(left)} left"

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveProgress(LineProgress):
    """The lines of finished rounds, and below them what is going on now."""

    def __init__(self, console: Console, rounds: int) -> None:
        super().__init__(console, rounds)
        self._now = "starting"
        self._left = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._panel)

    def phase(self, round_index: int, name: str) -> None:
        """Show which round and phase it is."""
        self._now = f"round {round_index} of {self._rounds}: {name}"

    def epoch(self, epoch: int, epochs: int, loss: float, val_loss: float) -> None:
        """Show the epoch's losses."""
        head = self._now.split(",")[0]
        self._now = f"{head}, epoch {epoch} of at most {epochs}, loss {loss:.4f}, validation {val_loss:.4f}"

    def round(self, record: Record) -> None:
        """Print the round and update the time left."""
        super().round(record)
        self._left = self.time_left(record)

    def _panel(self) -> Text:
        return Text(f"{self._now}  {duration(time.monotonic() - self._start)} so far  {self._left}", style="cyan")

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def describe(record: Record) -> str:
    """A round, at its share of labeled slices, in one line that leaves room for the time in 80 columns."""
    test = record["test"]
    dice = f"Dice slice {_number(test['dice_slice'])} volume {_number(test['dice_volume'])}"
    return f"round {record['round']:>2} at {record['share']:>5.1%}  {dice}  HD95 {_number(test['hd95'], 1)} mm"


def curve(records: list[Record], title: str) -> Table:
    """The closing table: all metrics of all rounds."""
    dice = ("slice\nDice", "foreground\nDice", "volume\nDice")
    heads = ("round", "labeled", "share", *dice, "HD95\nmm", "epochs", "seconds")
    table = new_table(*heads, title=title, numbers=heads)
    for record in records:
        test, fits, seconds = record["test"], record["fit"], record["cost"]["seconds"]
        table.add_row(
            str(record["round"]),
            str(record["labeled"]),
            f"{record['share']:.1%}",
            *(_number(test[key]) for key in ("dice_slice", "dice_foreground", "dice_volume")),
            _number(test["hd95"], 1),
            str(sum(fit["epochs"] for fit in fits)),
            f"{sum(seconds.values()):.0f}",
        )
    return table


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a short text, such as 1h05m or 3m20s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def size_in_words(size: float, digits: int = 1) -> str:
    """Bytes as a short text; `digits` after the point of megabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.{digits}f} MB"
