"""The terminal that commands write to, and the bar they show while data are fetched or prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def terminal() -> Console:
    """Standard output; 120 columns where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


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
