"""Writing a table as LaTeX, for pages of one and of two columns.

A table is as wide as a column of a page with two, or as the page. It has a short caption, and its notes below. What is
wider than a page is divided into parts below each other, and what is longer into several floats.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from albench.reports.tables.cells import Cell
from albench.reports.tables.table import Column, Row, Table

PACKAGES = "booktabs,amssymb,graphicx"
"""What the preamble of a document needs."""
_LETTER, _SMALL = 0.48, 0.46  # em: mean widths of a letter, and of one of a spread
_GAP = 0.75  # em between columns
_COLUMN, _PAGE = 31.0, 57.0  # em: widths of a column of IEEEtran, and of a page of many journals, less a reserve
_LINES, _LEAST = 50, 12  # of a float without its caption, and of a table in it
_LETTERS = {False: 55, True: 85}  # in a line of the notes of a float as wide as a column, and as a page
_HEAD = 4  # lines
_TITLE = 12  # letters in a line of the title of a column
_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "✓": r"$\checkmark$",
    "×": r"$\times$",
}


@dataclass(frozen=True)
class Float:
    """What stands together on a page.

    Attributes:
        parts: of the table, below each other.
        wide: whether it is as wide as the page, not as a column of it.
    """

    parts: tuple[Table, ...]
    wide: bool


def as_latex(table: Table) -> str:
    """One or more floats; needs PACKAGES."""
    return _templates().get_template("table.tex.jinja").render(table=table, floats=floats_of(table), packages=PACKAGES)


def all_as_latex(name: str, tables: Sequence[Table]) -> str:
    """All tables one after the other, to be read by a document with \\input."""
    rendered = list(map(as_latex, tables))
    return _templates().get_template("tables.tex.jinja").render(name=name, tables=rendered, packages=PACKAGES)


def as_latex_document(name: str) -> str:
    """A document with all tables, which it reads from tables.tex beside it."""
    return _templates().get_template("tables-document.tex.jinja").render(name=name, packages=PACKAGES)


def floats_of(table: Table) -> list[Float]:
    """The table in parts that are no wider than a page, and together no longer."""
    columns = _parts_of_columns(table)
    wide = max(sum(_width(table, i) for i in own) for own in columns) > _COLUMN
    notes = -(-sum(map(len, table.caption[1:])) // _LETTERS[wide])
    lines_of_float = max(_LINES - notes, _LEAST)
    step = lines_of_float - _HEAD
    rows = [table.rows[start : start + step] for start in range(0, len(table.rows), step)] or [()]
    found: list[list[Table]] = []
    free = 0
    for some in rows:
        for own in columns:
            lines = len(some) + _HEAD
            if not found or lines > free:
                found.append([])
                free = lines_of_float
            found[-1].append(_part(table, own, some))
            free -= lines
    return [Float(tuple(parts), wide) for parts in found]


def _parts_of_columns(table: Table) -> list[list[int]]:
    """Positions of the columns of every part, each with the first column: as few parts as possible, equally wide."""
    first, *others = range(len(table.columns))
    room = max(_PAGE - _width(table, first), 1.0)
    total = sum(_width(table, i) for i in others)
    count = max(1, -int(-total // room))
    parts: list[list[int]] = [[first]]
    used = 0.0
    for i in others:
        width = _width(table, i)
        if len(parts[-1]) > 1 and (used + width > room or (used + width / 2 > total / count and len(parts) < count)):
            parts.append([first])
            used = 0.0
        parts[-1].append(i)
        used += width
    return parts


def _part(table: Table, columns: Sequence[int], rows: Sequence[Row]) -> Table:
    own = tuple(replace(row, cells=tuple(row.cells[i] for i in columns)) for row in rows)
    return replace(table, columns=tuple(table.columns[i] for i in columns), rows=own)


def _width(table: Table, column: int) -> float:
    """Of a column, with the gap beside it, in em."""
    titles = [_LETTER * len(line) for line in _title_lines(table.columns[column])]
    cells = [row.cells[column] for row in table.rows]
    return _GAP + max(*titles, 0.0, *(_LETTER * len(cell.text) + _SMALL * len(cell.spread_text) for cell in cells))


def _title_lines(column: Column) -> list[str]:
    return textwrap.wrap(column.title, _TITLE, break_long_words=False, break_on_hyphens=False) or [""]


def _latex_title(column: Column) -> str:
    lines = [tex(line) for line in _title_lines(column)]
    together = r"\\".join(map(_after_break, lines))
    return together if len(lines) == 1 else rf"\shortstack{{{together}}}"


def tex(text: str) -> str:
    """Text in which everything that LaTeX interprets is escaped, with minus signs before numbers."""
    escaped = "".join(_TEX.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w$.-])-(?=\d)", "$-$", escaped)


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("albench.reports"),
        autoescape=False,  # the filters escape for LaTeX
        undefined=StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"tex": tex, "cells": _latex_row, "title": _latex_title}
    return environment


def _after_break(text: str) -> str:
    r"""A text that \\ does not take for its argument."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _latex_row(row: Row) -> str:
    cells = _after_break(" & ".join(map(_latex_cell, row.cells)))
    return cells if not row.muted else " & ".join(rf"\textit{{{cell}}}" if cell else "" for cell in cells.split(" & "))


def _latex_cell(cell: Cell) -> str:
    text = tex(cell.text)
    if cell.mark:
        text = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{text}}}"
    return rf"{text}{{\scriptsize\,{tex(cell.spread_text)}}}" if cell.spread else text
