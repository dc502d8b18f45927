"""Cells of tables. A number stays a number, with the way in which it is printed, until it is printed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from albench.reports.reported_metrics import Metric

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class NumberFormat:
    """How a number is printed.

    Attributes:
        decimals: after the point.
        percent: print a share as a percentage.
        sign: print a plus sign too.
        thousands: separate thousands by commas.
        divisor: applied first: 60 prints seconds as minutes.
        least: a smaller number is printed as `< least`.
    """

    decimals: int
    percent: bool = False
    sign: bool = False
    thousands: bool = False
    divisor: float = 1
    least: float | None = None

    def text(self, value: float) -> str:
        """A finite number as it is printed."""
        if self.least is not None and value < self.least:
            return f"< {self.least:.{self.decimals}f}"
        plus, comma, unit = "+" * self.sign, "," * self.thousands, "%" * self.percent
        return f"{self._scaled(value):{plus}{comma}.{self.decimals}f}{unit}"

    def rounded(self, value: float) -> float:
        """The number that a reader sees: equal for numbers that are printed alike."""
        return round(self._scaled(value), self.decimals)

    def _scaled(self, value: float) -> float:
        return 100 * value if self.percent else value / self.divisor


COUNT = NumberFormat(0, thousands=True)
SHARE = NumberFormat(1, percent=True)
MISSING = "n/a"
"""Printed where a value does not exist."""


@dataclass(frozen=True)
class Deviation:
    """A standard deviation, printed as `± 0.012`."""

    sd: float
    format: NumberFormat

    @property
    def text(self) -> str:
        """As printed."""
        return f"± {self.format.text(self.sd)}"


@dataclass(frozen=True)
class Interval:
    """An interval, printed as `[0.1, 0.2]`, or as `[0.1, never]` if its upper end is infinite."""

    low: float
    high: float
    format: NumberFormat

    @property
    def text(self) -> str:
        """As printed."""
        high = "never" if math.isinf(self.high) else self.format.text(self.high)
        return f"[{self.format.text(self.low)}, {high}]"


@dataclass(frozen=True)
class Cell:
    """One cell: words, or a number and its format.

    Attributes:
        words: printed if the cell has no format.
        value: a number to print, or to sort words by; NaN sorts last, infinity stands for a share never reached.
        format: how the number is printed; None prints the words.
        spread: of the number, printed after it in small type.
        count: printed before the number, which is then in parentheses.
        mark: whether it is the best or the second best of its column.
    """

    words: str = ""
    value: float = math.nan
    format: NumberFormat | None = None
    spread: Deviation | Interval | None = None
    count: float | None = None
    mark: Mark = ""

    @property
    def text(self) -> str:
        """As printed, without the spread."""
        if self.format is None:
            return self.words
        number = self.format.text(self.value)
        return number if self.count is None else f"{self.count:.0f} ({number})"

    @property
    def spread_text(self) -> str:
        """The spread as printed; empty without one."""
        return self.spread.text if self.spread else ""

    @property
    def plain(self) -> str:
        """Text and spread."""
        return f"{self.text} {self.spread_text}".strip()

    @property
    def rounded(self) -> float:
        """The number as a reader sees it; NaN or infinite if it is."""
        return self.value if self.format is None else self.format.rounded(self.value)


def number_cell(value: float, number_format: NumberFormat, spread: Deviation | Interval | None = None) -> Cell:
    """A number, or `n/a` for NaN."""
    return Cell(MISSING) if math.isnan(value) else Cell(value=float(value), format=number_format, spread=spread)


def metric_cell(metric: Metric, mean: float, sd: float) -> Cell:
    """A mean with its standard deviation, which is left out if it is NaN."""
    decimals = NumberFormat(metric.decimals)
    return number_cell(mean, decimals, None if math.isnan(sd) else Deviation(sd, decimals))


def reach_cell(share: float, slices: float | None = None) -> Cell:
    """A labeled share; a dash if it is never reached.

    Args:
        share: of the pool.
        slices: the same as a number of slices, which is printed too; None prints the share alone.
    """
    if math.isinf(share):
        return Cell("-", value=math.inf)
    if math.isnan(share):
        return Cell(MISSING)
    return Cell(value=float(share), format=SHARE, count=slices)
