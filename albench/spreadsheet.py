"""CSV that people open in a spreadsheet, which takes text after `=`, `+`, `-` or `@` for a formula and runs it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:[\d.,]+(?:[eE][+-]?\d+)?%?|inf|nan)(?: [\d.,%±\[\]() +-]*)?")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, with lines that end in a line feed and cells that no spreadsheet takes for formulas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(cell, row) for row in rows)
    return text.getvalue()


def cell(value: object) -> object:
    """What is written for a value: text that a spreadsheet would run gets an apostrophe, which it does not show.

    Numbers stay numbers, also as text and with what is printed after them: `-0.1 [-0.2, +0.3]`.
    """
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
