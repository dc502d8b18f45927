"""A matrix of methods by methods, with its numbers as far as they can be read."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from albench.reports.figures.style import WIDTH, new_figure, subplots


def draw_matrix(
    table: pd.DataFrame,
    *,
    cmap: str,
    highest: float,
    numbered: int,
    number: str,
    dark: Callable[[float], bool],
    legend: str,
) -> tuple[Figure, Axes]:
    """A figure with rows and columns in the order of the table.

    Args:
        table: values from 0, NaN where there is none.
        cmap: colors of the values.
        highest: the value of the last color.
        numbered: most columns with numbers; in more they are too small to read.
        number: format of a value.
        dark: whether the color of a value needs white letters.
        legend: what the values are.
    """
    width = min(WIDTH, 2.5 + 0.42 * len(table))
    figure = new_figure(width - 0.9, width)
    ax = subplots(figure, 1, 1)[0][0]
    image = ax.imshow(table.to_numpy(), cmap=cmap, vmin=0, vmax=highest)
    few = len(table.columns) <= numbered
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if few and not math.isnan(value):
            ink = "white" if dark(value) else "#131416"
            ax.text(column, row, format(value, number), ha="center", va="center", fontsize=6, color=ink)
    size = 7 if few else 6
    ax.set_xticks(
        range(len(table.columns)), table.columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=size
    )
    ax.set_yticks(range(len(table)), table.index, fontsize=size)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, shrink=0.8, label=legend)
    return figure, ax
