"""The summary of a prepared set: its numbers, and a picture of slices with their masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.data import Prepared
from albench.files import atomic_write

_COLUMNS, _ROWS = 4, 3  # of the contact sheet
_WIDTH, _TITLE = 3.0, 0.25  # width of a slice and height of its title, in inches
_LONG = 40  # letters of a name that fit into the title


def numbers(prepared: Prepared) -> Mapping[str, str]:
    """Values in words, by their names."""
    total, channels, height, width = prepared.images.shape
    foreground = [prepared.masks[rows].mean((1, 2)) for rows in _rows(prepared)]
    shares = np.concatenate(foreground)
    areas = np.repeat(prepared.valid.prod(1), prepared.counts) / (height * width)
    cases, patients = len(prepared.cases), len(set(prepared.patients))
    facts = {
        "cases": f"{cases}" if patients == cases else f"{cases} of {patients} patients",
        "slices": f"{total}, {_range(prepared.counts)} per case",
        "pixels": f"{height} x {width}, {channels} channel" + ("s" if channels > 1 else ""),
        "slices with foreground": f"{(shares > 0).mean():.1%}",
        "foreground": f"{(shares / areas).mean():.2%} of all pixels",
        "cases without foreground": f"{sum(not share.any() for share in foreground)}",
        "spacing": " x ".join(_range(prepared.spacing[:, axis]) for axis in range(3)) + " mm (z, y, x)",
    }
    if prepared.intensity is not None:
        lows, highs = prepared.intensity[..., 0].min(0), prepared.intensity[..., 1].max(0)
        ranges = [f"{low:.6g} to {high:.6g}" for low, high in zip(lows, highs, strict=True)]
        facts["intensities as read"] = "; ".join(ranges)
    return facts


def contact_sheet(prepared: Prepared, path: Path) -> None:
    """Write a PNG of up to 12 cases, each with its slice of most foreground and the contour of the mask.

    A case without foreground is shown by its middle slice.

    Raises:
        StoreError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second

    chosen = np.unique(np.linspace(0, len(prepared.cases) - 1, _COLUMNS * _ROWS).round().astype(int))
    columns = min(len(chosen), _COLUMNS)
    lines = -(-len(chosen) // columns)
    sides = prepared.valid[chosen] * prepared.spacing[chosen, 1:]
    tallest = _WIDTH * float(np.clip((sides[:, 0] / sides[:, 1]).max(), 0.25, 2.0)) + _TITLE
    figure = Figure(figsize=(_WIDTH * columns, tallest * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    rows = _rows(prepared)
    for ax, case in zip(axes, chosen, strict=False):
        within = rows[case]
        areas = prepared.masks[within].sum((1, 2), dtype=np.int64)
        position = int(areas.argmax()) if areas.any() else len(areas) // 2
        height, width = prepared.valid[case]
        image = prepared.images[within][position, 0, :height, :width].astype(np.float32)
        mask = prepared.masks[within][position, :height, :width]
        _, dy, dx = prepared.spacing[case]
        low, high = np.percentile(image, (1, 99))
        ax.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=dy / dx)
        if mask.any() and not mask.all():
            ax.contour(mask, levels=[0.5], colors="red", linewidths=0.8)
        name = prepared.cases[case]
        short = name if len(name) <= _LONG else f"…{name[1 - _LONG :]}"  # names mostly differ at their ends
        ax.set_title(f"{short}, slice {position}", fontsize=7)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _rows(prepared: Prepared) -> list[slice]:
    """The rows of each case."""
    ends = np.cumsum(prepared.counts)
    return [slice(end - count, end) for count, end in zip(prepared.counts, ends, strict=True)]


def _range(values: NDArray[np.generic]) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"
