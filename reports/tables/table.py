"""A table before it is written: its rows and columns, the marks of the best cells, and its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from albench.reports.tables.cells import MISSING, Cell, Mark

Better = Literal["higher", "lower"]
"""Which values of a column are marked."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: at its head.
        better: whether higher or lower values are marked; None marks nothing.
        notes: sentences that explain it, which the caption has as long as the table has the column. Columns that are
            explained together have the same sentence.
    """

    title: str
    better: Better | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        cells: as many as the table has columns.
        muted: it shows values of another source, which get no marks.
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
        rows: from top to bottom.
        about: sentences on all of it, at the beginning of the caption.
        sources: sentences on where its values come from, at the end of the caption.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def caption(self) -> tuple[str, ...]:
        """Sentences that must accompany the table; those on its columns are between the others, each of them once."""
        notes = dict.fromkeys(note for column in self.columns for note in column.notes)
        return (*self.about, *notes, *self.sources)


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


def without_empty_columns(table: Table) -> Table:
    """The table without the columns in which no cell has a value, and without their notes."""
    shown = [i for i, _ in enumerate(table.columns) if any(row.cells[i].text != MISSING for row in table.rows)]
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in shown)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in shown), rows=rows)


def _marks(cells: Sequence[Cell | None], better: Better) -> list[Mark]:
    """A mark per cell; none in a column whose cells are all printed alike, such as a single one.

    A share that is never reached is worse than all others, and gets no mark.
    """
    if len({cell.text for cell in cells if cell is not None and not math.isnan(cell.value)}) < 2:
        return [""] * len(cells)
    numbers = [math.nan if cell is None else cell.rounded for cell in cells]
    ranked = sorted((number for number in numbers if math.isfinite(number)), reverse=better == "higher")
    best = ranked[0] if ranked else math.nan
    second = ranked[1] if len(ranked) > 1 else math.nan
    return ["best" if number == best else "second" if number == second else "" for number in numbers]
