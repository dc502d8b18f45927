"""A table before it is written: rows of cells with marks, and what must be said about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from albench.reports.metric import Metric

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as printed.
        spread: printed after it, smaller: a deviation or an interval.
        value: to sort by; NaN sorts last.
        mark: of the best and the second best of a column.
    """

    text: str
    spread: str = ""
    value: float = math.nan
    mark: Mark = ""

    @property
    def plain(self) -> str:
        """Text and spread."""
        return f"{self.text} {self.spread}".strip()


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: at its head.
        better: whether higher or lower values get the marks; None for neither.
    """

    title: str
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        muted: it is from elsewhere and gets no marks.
        ranked: it can be the best; otherwise it gets no marks either.
    """

    cells: tuple[Cell, ...]
    muted: bool = False
    ranked: bool = True


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        title: what it shows, in a few words.
        columns: from left to right.
        rows: from top to bottom, with as many cells as there are columns.
        caption: sentences without which it must not be shown.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...] = field(default=())


def marked(table: Table) -> Table:
    """The table with the best and the second best cell of every column marked.

    Cells that are printed alike are equal: all of them are best, and then none is second.
    """
    rows = list(table.rows)
    for index, column in enumerate(table.columns):
        if column.better is not None:
            marks = _marks([row.cells[index] if row.ranked and not row.muted else None for row in rows], column.better)
            for place, mark in enumerate(marks):
                cells = list(rows[place].cells)
                cells[index] = replace(cells[index], mark=mark)
                rows[place] = replace(rows[place], cells=tuple(cells))
    return replace(table, rows=tuple(rows))


def slug(name: str) -> str:
    """A name as part of a file's name."""
    kept = [letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()]
    return "-".join(part for part in "".join(kept).split("-") if part) or "group"


def value_cell(metric: Metric, value: float, sd: float) -> Cell:
    """A mean with its deviation; empty if it does not exist."""
    if math.isnan(value):
        return Cell("n/a")
    return Cell(metric.text(value), "" if math.isnan(sd) else f"± {metric.text(sd)}", value)


def reach_cell(share: float) -> Cell:
    """A labeled share; a dash if it is never reached."""
    if math.isnan(share):
        return Cell("n/a")
    return Cell("-", value=math.inf) if math.isinf(share) else Cell(f"{share:.1%}", value=share)


def _marks(cells: Sequence[Cell | None], better: Literal["higher", "lower"]) -> list[Mark]:
    """A mark per cell; none in a column whose cells all say the same, such as a single one.

    A share that is never reached is worse than all others, and gets no mark.
    """
    if len({cell.text for cell in cells if cell is not None and not math.isnan(cell.value)}) < 2:
        return [""] * len(cells)
    printed = [math.nan if cell is None or not math.isfinite(cell.value) else _printed(cell) for cell in cells]
    values = sorted((value for value in printed if not math.isnan(value)), reverse=better == "higher")
    best = values[0] if values else math.nan
    second = values[1] if len(values) > 1 else math.nan
    return ["best" if value == best else "second" if value == second else "" for value in printed]


def _printed(cell: Cell) -> float:
    """The number that is read in the cell."""
    return float(cell.text.split("(")[-1].rstrip("%)").strip())
