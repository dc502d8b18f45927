"""The summary of a prepared set: its numbers, and a picture of slices with their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.data import LabelCounts, Prepared, padding_share
from albench.files import atomic_write
from albench.masks import UNKNOWN, foreground

_COLUMNS, _ROWS = 4, 3  # of the contact sheet
_WIDTH, _TITLE = 3.0, 0.25  # width of a slice and height of its title, in inches
_COLORS = ("red", "deepskyblue", "gold", "lime", "magenta", "orange", "white", "cyan")  # of classes, repeated
_LONG = 40  # letters of a name that fit into the title


def count_labels(prepared: Prepared) -> list[LabelCounts]:
    """What the masks of the cases hold, without padding."""
    classes = len(prepared.classes)
    pairs = zip(_rows(prepared), prepared.valid, strict=True)
    return [LabelCounts.of(prepared.masks[rows, :height, :width], classes) for rows, (height, width) in pairs]


def numbers(prepared: Prepared, labels: Sequence[LabelCounts]) -> Mapping[str, str]:
    """Values in words, by their names.

    Args:
        labels: (s,) of the cases, see `count_labels`.
    """
    total, channels, height, width = prepared.images.shape
    pixels = sum(case.voxels for case in labels)
    filled = sum(case.filled for case in labels)
    cases, patients = len(prepared.cases), len(set(prepared.patients))
    facts = {
        "cases": f"{cases}" if patients == cases else f"{cases} of {patients} patients",
        "slices": f"{total}, {_range(prepared.counts)} per case",
        "pixels": f"{height} x {width}, {channels} channel" + ("s" if channels > 1 else ""),
        "padding": f"{padding_share(prepared.valid, prepared.counts, (height, width)):.1%} of all pixels",
        "slices with foreground": f"{filled / total:.1%}",
        "foreground": f"{sum(case.foreground for case in labels) / pixels:.2%} of all pixels",
        "cases without foreground": f"{sum(not case.foreground for case in labels)}",
        "spacing": " x ".join(_range(prepared.spacing[:, axis]) for axis in range(3)) + " mm (slices, rows, columns)",
    }
    if len(prepared.classes) > 1:
        for index, name in enumerate(prepared.classes):
            voxels = [case.classes[index] for case in labels]
            facts[f"class {index + 1}, {name}"] = (
                f"{sum(voxels) / pixels:.2%} of all pixels, in {np.count_nonzero(voxels)} cases"
            )
    if prepared.unknown is not None:
        blank = sum(case.unlabeled for case in labels)
        whole = sum(case.unlabeled == case.slices for case in labels)
        facts["unknown"] = f"{sum(case.unknown for case in labels) / pixels:.2%} of all pixels"
        facts["without any label"] = f"{blank} slices, {whole} whole cases"
    if prepared.intensity is not None:
        lows, highs = prepared.intensity[..., 0].min(0), prepared.intensity[..., 1].max(0)
        ranges = [f"{low:.6g} to {high:.6g}" for low, high in zip(lows, highs, strict=True)]
        facts["intensities as read"] = "; ".join(ranges)
    return facts


def contact_sheet(prepared: Prepared, path: Path) -> None:
    """Write a PNG of up to 12 cases, each with its slice of most foreground, the contours of its
    classes and its unknown area hatched.

    A case without foreground is shown by its middle slice.

    Raises:
        StoreError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second
    from matplotlib.lines import Line2D

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
        masks = prepared.masks[within]
        areas = np.count_nonzero(foreground(masks), (1, 2))
        position = int(areas.argmax()) if areas.any() else len(areas) // 2
        height, width = prepared.valid[case]
        image = prepared.images[within][position, 0, :height, :width].astype(np.float32)
        mask = masks[position, :height, :width]
        _, dy, dx = prepared.spacing[case]
        low, high = np.percentile(image, (1, 99))
        ax.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=dy / dx)
        for label in range(1, len(prepared.classes) + 1):
            inside = mask == label
            if inside.any() and not inside.all():
                ax.contour(inside, levels=[0.5], colors=_color(label), linewidths=0.8)
        if (mask == UNKNOWN).any():
            ax.contourf(mask == UNKNOWN, levels=[0.5, 1.5], colors="none", hatches=["////"])
        name = prepared.cases[case]
        short = name if len(name) <= _LONG else f"…{name[1 - _LONG :]}"  # names mostly differ at their ends
        ax.set_title(f"{short}, slice {position}", fontsize=7)
    if len(prepared.classes) > 1:
        lines_of = [Line2D([], [], color=_color(label), label=name) for label, name in enumerate(prepared.classes, 1)]
        figure.legend(handles=lines_of, loc="outside lower center", ncols=4, fontsize=7, facecolor="gray")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _rows(prepared: Prepared) -> list[slice]:
    """The rows of each case."""
    ends = np.cumsum(prepared.counts)
    return [slice(end - count, end) for count, end in zip(prepared.counts, ends, strict=True)]


def _color(label: int) -> str:
    return _COLORS[(label - 1) % len(_COLORS)]


def _range(values: NDArray[np.generic]) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"
