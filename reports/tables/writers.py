"""Writing a table with its caption as LaTeX, Markdown or CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from albench.reports.tables.cells import Cell
from albench.reports.tables.table import Row, Table
from albench.spreadsheet import csv_text

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


def as_latex(table: Table) -> str:
    """A floating table; needs booktabs, amssymb and graphicx."""
    return _templates().get_template("table.tex.jinja").render(table=table)


def as_latex_document(name: str, tables: Sequence[Table]) -> str:
    """A document with all tables, which it reads from files of their names beside it."""
    names = [table.name for table in tables]
    return _templates().get_template("tables.tex.jinja").render(name=name, names=names)


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
    environment.filters |= {"tex": tex, "cells": _latex_row}
    return environment


def _latex_row(row: Row) -> str:
    cells = " & ".join(map(_latex_cell, row.cells))
    return cells if not row.muted else " & ".join(rf"\textit{{{cell}}}" if cell else "" for cell in cells.split(" & "))


def _latex_cell(cell: Cell) -> str:
    text = tex(cell.text)
    if cell.mark:
        text = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{text}}}"
    return rf"{text}{{\scriptsize\,{tex(cell.spread_text)}}}" if cell.spread else text


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
