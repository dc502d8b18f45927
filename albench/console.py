"""The terminal that commands write to, the bar they show while data are fetched or prepared, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


def terminal() -> Console:
    """Standard output; 120 columns where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def new_table(*columns: str, title: str | None = None, numbers: Collection[str] = ()) -> Table:
    """A table without a frame, for many columns in 80; text that does not fit goes on below.

    Args:
        columns: their heads.
        numbers: heads of those that are set to the right.
    """
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table


@contextmanager
def bar(console: Console, words: str, *, in_bytes: bool = False) -> Iterator[Callable[..., None]]:
    """A bar that shows only when there is something to do; a line where nobody looks at a terminal.

    Yields:
        What to call with what is done, the total (None if unknown), and anything more, which is not shown.
    """
    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = None

        def show(done: int, total: int | None, *_: object) -> None:
            nonlocal task
            if task is None:
                task = shown.add_task(words, total=total)
                if not console.is_terminal:
                    console.print(words, highlight=False, soft_wrap=True)
            shown.update(task, completed=done, total=total)

        yield show
