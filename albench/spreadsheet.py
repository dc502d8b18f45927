"""CSV that people open in a spreadsheet, which takes text after `=`, `+`, `-` or `@` for a formula and runs it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(?:[\d.,]+(?:[eE][+-]?\d+)?%?|inf|nan)(?: [\d.,%±\[\]() +-]*)?")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, with lines that end in a line feed and cells that no spreadsheet takes for formulas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(cell, row) for row in rows)
    return text.getvalue()


def cell(value: object) -> object:
    """What is written for a value: text that a spreadsheet would run gets an apostrophe, which it does not show.

    Numbers stay numbers, also as text and with what is printed after them: `-0.1 [-0.2, +0.3]`. Text that looks as if
    it had got an apostrophe gets one more, so that `read_cell` always gives what was written.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def read_cell(text: str) -> str:
    """The text for which `cell` wrote this one, without the apostrophe of text that a spreadsheet would run."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
