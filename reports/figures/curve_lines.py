"""The lines of a learning curve: methods, the supervised reference, and the floors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from albench.reports.figures.style import BASELINE, INK, LineStyle
from albench.reports.group import Group


def draw_line(ax: Axes, style: LineStyle, label: str, x: np.ndarray, mean: np.ndarray, sd: np.ndarray | None) -> None:
    """A method: its mean, and a band of one deviation where there is one."""
    ax.plot(x, mean, color=style.color, marker=style.marker, label=label)
    if sd is not None and not np.isnan(sd).all():
        ax.fill_between(x, mean - sd, mean + sd, color=style.color, alpha=0.15, linewidth=0)


def draw_others(ax: Axes, curves: Iterable[Iterable[np.ndarray]]) -> None:
    """Thin pale lines behind the others, with one entry in the legend."""
    for index, (x, y) in enumerate(curves):
        ax.plot(x, y, color=BASELINE, alpha=0.5, linewidth=0.6, marker="", zorder=1.5, label="" if index else "others")


def draw_reference(ax: Axes, group: Group) -> None:
    """The supervised reference, with a band of one deviation if it has one."""
    value, sd = group.supervised
    if math.isnan(value):
        return
    ax.axhline(value, color=INK, linestyle=(0, (6, 2)), linewidth=0.9, label="all slices labeled")
    if not math.isnan(sd):
        ax.axhspan(value - sd, value + sd, color=INK, alpha=0.06, linewidth=0)


def draw_floors(ax: Axes, group: Group, shown: tuple[float, float] = (-math.inf, math.inf)) -> None:
    """Dotted lines at what predicting nothing and predicting everything score, as far as the records tell.

    Args:
        ax: where to draw.
        group: whose floors are drawn.
        shown: the range of values; a floor outside of it is not drawn.
    """
    floor = group.floor
    most = "" if floor.exact else ", at most"
    for value, name, dots in (
        (floor.nothing, "nothing predicted", (0, (1, 1))),
        (floor.everything, f"all predicted{most}", (0, (1, 3))),
    ):
        if shown[0] <= value <= shown[1]:
            ax.axhline(value, color=INK, linestyle=dots, linewidth=0.9, label=name, zorder=1)


def limit_to_means(ax: Axes, group: Group, low: float) -> None:
    """Show the shares from `low` on, and the range of the means and the reference in it."""
    high = max(curve.share[-1] for curve in group.curves.values())
    shown = [curve.mean[curve.share >= low - 1e-9] for curve in group.curves.values()]
    values = np.concatenate([*shown, [group.supervised[0]]])
    values = values[~np.isnan(values)]
    if len(values) == 0 or low == high:
        return
    bottom, top = values.min(), values.max()
    room = 0.08 * (top - bottom) or 0.01
    ax.set_ylim(bottom - room, top + room)
    width = 100 * (high - low)
    ax.set_xlim(100 * low - 0.05 * width, 100 * high + 0.05 * width)


def about_bands(groups: Sequence[Group], banded: Sequence[str], count: int) -> list[str]:
    """What the bands show, if there are any.

    Args:
        groups: that are drawn.
        banded: methods with a band.
        count: of all methods.
    """
    curves = [group.curves[label] for group in groups for label in banded if label in group.methods]
    names = list(banded) if any(np.isfinite(curve.sd).any() for curve in curves) else []
    names += ["the supervised reference"] * any(np.isfinite(group.supervised[1]) for group in groups)
    if not names:
        return []
    whose = "" if len(banded) == count else f", only of {'; '.join(names)}"
    return [f"Bands: one sample standard deviation{whose}."]
