"""Writing a table with its caption as Markdown or CSV."""

from __future__ import annotations

from collections.abc import Sequence

from albench.reports.tables.cells import Cell
from albench.reports.tables.table import Table
from albench.spreadsheet import csv_text


def as_markdown(table: Table) -> str:
    """Title, table and caption; bold for the best, underlined for the second."""
    head = [_escape(column.title) for column in table.columns]
    lines = [f"### {_escape(table.title)}", "", _line(head), _line(["---"] * len(head))]
    lines += [_line([_markdown(cell, muted=row.muted) for cell in row.cells]) for row in table.rows]
    return "\n".join([*lines, "", *(_escape(sentence) for sentence in table.caption)]) + "\n"


def as_csv(table: Table) -> str:
    """The cells as printed, without marks; the caption in lines that begin with #."""
    caption = "".join(f"# {sentence}\n" for sentence in table.caption)
    head = [column.title for column in table.columns]
    return caption + csv_text([head, *([cell.plain for cell in row.cells] for row in table.rows)])


def _markdown(cell: Cell, *, muted: bool) -> str:
    text = _escape(cell.text)
    if cell.mark:
        text = f"**{text}**" if cell.mark == "best" else f"<u>{text}</u>"
    text = f"{text} {_escape(cell.spread_text)}".strip()
    return f"*{text}*" if muted and text else text


def _escape(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|" else letter for letter in text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
