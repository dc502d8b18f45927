"""The diagram of mean ranks with the critical difference (Demsar, JMLR 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from albench.reports.captions import computed
from albench.reports.figures.style import INK, WIDTH, Drawing, new_figure, subplots
from albench.reports.results import Results
from albench.reports.study import Study
from albench.reports.study_summary import about_ranks, evidence, not_compared

_LETTER = 0.065  # inches, at most, of a letter of 7 points
_LEVEL, _BAR = 0.19, 0.1  # inches between names, and between bars
_TOP = 0.65  # inches above the axis


def rank_diagram(results: Results, study: Study) -> Drawing:
    """The mean rank of every method on one axis; a bar joins those that the critical difference does not tell apart."""
    means, count = study.mean_ranks.tolist(), len(study.methods)
    names = [f"{label}  {mean:.2f}" for label, mean in zip(study.methods, means, strict=True)]
    margin = max(0.9, min(WIDTH / 3, 0.25 + _LETTER * max(map(len, names))))
    rows = _rows(study.alike)
    below = 0.12 + _BAR * (max(rows, default=-1) + 1) + _LEVEL * math.ceil(count / 2)
    height = _TOP + below + 0.1
    figure = new_figure(height)
    ax = subplots(figure, 1, 1)[0][0]
    ax.set(xlim=(0, WIDTH), ylim=(-below - 0.1, _TOP))
    ax.set_axis_off()

    def x(rank: float) -> float:
        return margin + (rank - 1) / (count - 1) * (WIDTH - 2 * margin)

    _axis(ax, count, x(1), x(count))
    if study.critical <= count - 1:
        _bracket(ax, x(1), x(1 + study.critical), f"critical difference {study.critical:.2f}")
    for (first, last), row in zip(study.alike, rows, strict=True):
        y = -0.12 - _BAR * row
        ax.plot([x(means[first]) - 0.04, x(means[last]) + 0.04], [y, y], color=INK, linewidth=2.5, marker="")
    top = -0.12 - _BAR * (max(rows, default=-1) + 1) - 0.05
    left = math.ceil(count / 2)
    for i, (name, mean) in enumerate(zip(names, means, strict=True)):
        best = i < left
        y = top - _LEVEL * (i if best else count - 1 - i)
        end = margin - 0.1 if best else WIDTH - margin + 0.1
        ax.plot([x(mean), x(mean), end], [0, y, y], color=INK, linewidth=0.7, marker="")
        ax.text(end + (-0.05 if best else 0.05), y, name, ha="right" if best else "left", va="center", fontsize=7)
    impossible = f"The critical difference of Nemenyi at 0.05, {study.critical:.2f}, is longer than the axis."
    bars = "A bar joins methods whose mean ranks differ by less than the critical difference of Nemenyi at 0.05."
    caption = (
        f"Mean ranks over {len(study.datasets)} datasets, the best on the left. {bars}",
        *([impossible] if study.critical > count - 1 else []),
        *about_ranks(results, study),
        *evidence(study),
        *not_compared(study),
        computed(results.collection, study.runs),
    )
    return Drawing("study-ranks", "Mean ranks and critical difference", caption, figure)


def _axis(ax: Axes, count: int, low: float, high: float) -> None:
    """From rank 1 to the last one, with a tick at each."""
    ax.plot([low, high], [0, 0], color=INK, linewidth=0.9, marker="")
    for rank in range(1, count + 1):
        at = low + (rank - 1) / (count - 1) * (high - low)
        ax.plot([at, at], [0, 0.06], color=INK, linewidth=0.9, marker="")
        ax.text(at, 0.09, str(rank), ha="center", va="bottom", fontsize=7)
    ax.text(low - 0.15, 0.09, "mean rank", ha="right", va="bottom", fontsize=7)


def _bracket(ax: Axes, low: float, high: float, text: str) -> None:
    """A length above the axis with its name above it."""
    y = 0.37
    ax.plot([low, high], [y, y], color=INK, linewidth=0.9, marker="")
    for end in (low, high):
        ax.plot([end, end], [y - 0.04, y + 0.04], color=INK, linewidth=0.9, marker="")
    ax.text(low, y + 0.06, text, ha="left", va="bottom", fontsize=7)


def _rows(bars: Sequence[tuple[int, int]]) -> list[int]:
    """A row for each bar, by ascending first position, so that bars of one row have no method in common."""
    ends: list[int] = []
    chosen = []
    for first, last in bars:
        row = next((i for i, end in enumerate(ends) if end < first), len(ends))
        ends[row : row + 1] = [last]
        chosen.append(row)
    return chosen
