"""Output on the terminal: tables, a progress bar, and the formats of numbers, durations and sizes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Timer

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from albench.runs.records import RoundRecord

LONG_WAIT = 2.0
"""Seconds after which a wait is told where output is not a terminal."""


def terminal() -> Console:
    """Standard output, 120 columns wide if it is not a terminal."""
    console = _Output()
    return console if console.is_terminal else _Output(width=120)


def messages(console: Console) -> Console:
    """Where to say what is awaited: on a terminal, otherwise on standard error, so that output has results only."""
    return console if console.is_terminal else _Output(stderr=True, force_terminal=False, width=120)


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """End the process if nobody reads on, as after `| head`; here, so that no plugin is taken to have done it."""
        try:
            super().on_broken_pipe()
        except SystemExit as end:
            raise SystemExit(end.code) from None


def say(console: Console, text: str) -> None:
    """Print a line as it is: brackets are no markup, and long ones are not broken, so that they can be copied."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def new_table(*columns: str, title: str | None = None, numbers: Collection[str] = ()) -> Table:
    """A compact table without a frame; long text is wrapped.

    Args:
        columns: their headers.
        title: above the table.
        numbers: headers of the columns that are aligned to the right.
    """
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table


def bar(
    console: Console, words: str, *, in_bytes: bool = False, before: str = ""
) -> AbstractContextManager[Callable[..., None]]:
    """A progress bar that appears with the first step; one line if output is not a terminal.

    Args:
        words: what the steps do.
        before: what is done before the first one, said as `waiting` does if that takes long; nothing if empty.

    Returns:
        A context that gives a function of the steps done and their total (None if unknown); further arguments are
        ignored.
    """
    return _moving_bar(console, words, in_bytes, before) if console.is_terminal else _line(console, words, before)


@contextmanager
def _moving_bar(console: Console, words: str, in_bytes: bool, before: str) -> Iterator[Callable[..., None]]:
    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        wait, task = shown.add_task(before, total=None, visible=bool(before)), None

        def show(done: int, total: int | None, *_: object) -> None:
            nonlocal task
            if task is None:
                shown.remove_task(wait)
                task = shown.add_task(words, total=total)
            shown.update(task, completed=done, total=total)

        yield show


@contextmanager
def _line(console: Console, words: str, before: str) -> Iterator[Callable[..., None]]:
    with ExitStack() as until_the_first_step:
        if before:
            until_the_first_step.enter_context(waiting(console, before))
        told = False

        def show(*_: object) -> None:
            nonlocal told
            if not told:
                told = True
                until_the_first_step.close()
                say(console, words)

        yield show


def starting(console: Console) -> AbstractContextManager[object]:
    """Say that torch, MONAI and what needs them are imported, as `waiting` does."""
    return waiting(console, "starting: loading torch and MONAI")


@contextmanager
def waiting(console: Console, words: str) -> Iterator[Callable[[str], None]]:
    """Say what takes long: at once on a terminal, until it is done; elsewhere in one line after LONG_WAIT.

    Yields:
        A function that says what is done from now on, in the same way.
    """
    if console.is_terminal:
        with console.status(Text(words)) as status:
            yield lambda other: status.update(Text(other))
        return
    told = Timer(0, say)

    def tell(other: str) -> None:
        nonlocal told
        told.cancel()
        told = Timer(LONG_WAIT, say, (console, other))
        told.daemon = True
        told.start()

    tell(words)
    try:
        yield tell
    finally:
        told.cancel()


def describe(record: RoundRecord) -> str:
    """A round in one line, short enough to append the time left within 80 columns."""
    dice = f"Dice slice {decimal(record.test.dice_slice)} volume {decimal(record.test.dice_volume)}"
    return f"round {record.round:>2} at {record.share:>5.1%}  {dice}  HD95 {decimal(record.test.hd95, 1)} mm"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as text, such as 1h05m or 3m20s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def size_in_words(size: float, digits: int = 1) -> str:
    """Bytes as text, such as 1.2 GB; `digits` decimals for megabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.{digits}f} MB"
