"""The picture of a prepared set: cases in three views with their classes, and the histograms of their intensities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from albench.data import Prepared, sampled
from albench.files import atomic_write
from albench.masks import UNKNOWN, foreground

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

Scalar = TypeVar("Scalar", bound=np.generic)

_CASES, _IN_A_ROW = 6, 2  # of the sheet
_PANEL, _TITLES, _MARGIN = 2.1, 0.5, 0.5  # width of a panel, height of titles and of the legend, in inches
_DPI = 120
_COLORS = (
    *("red", "deepskyblue", "gold", "lime", "magenta", "darkorange", "mediumpurple", "aquamarine"),
    *("hotpink", "royalblue", "yellowgreen", "sandybrown"),
)
_GROUND, _TEXT, _FAINT, _ALL = "#16181d", "#e4e6eb", "#8b909b", "#4a4f5a"  # _ALL of the voxels of all classes
_IN_LEGEND = 8  # entries of a line
_LONG = 34  # letters of a name that fit above its views
_SAMPLE = 1 << 18  # voxels of a histogram, evenly spaced
_UNIFORM = 0.05  # range of the foreground, relative to that of what is around it
_BINS = 40
_FLAT = 0.25  # height of a view, as a part of its width, below which it has no scale bar
_VISIBLE = 10  # pixels of a class in a view
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200)  # mm, of the scale bar
_AXES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class _View:
    """A plane through a volume, as it is drawn.

    Attributes:
        title: the plane and its position.
        image: (h, w) intensities of the first channel.
        mask: (h, w) labels.
        spacing: millimeters between rows and between columns.
        cross: row and column where the other planes are.
    """

    title: str
    image: NDArray[np.float16]
    mask: NDArray[np.uint8]
    spacing: tuple[float, float]
    cross: tuple[int, int]


@dataclass(frozen=True)
class _Shown:
    """A case on the sheet.

    Attributes:
        title: its name, and the class that it was chosen for, if any.
        views: three planes, first that of the slices.
        gray: intensities that are black and white, of the surroundings of the foreground.
        intensities: (n,) some intensities of the first channel, as prepared.
        labels: (n,) of the same voxels.
    """

    title: str
    views: Sequence[_View]
    gray: tuple[float, float]
    intensities: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def clear(self) -> set[int]:
        """Labels that are large enough in one of the views to be seen."""
        areas = (np.bincount(view.mask.ravel(), minlength=UNKNOWN + 1) for view in self.views)
        return {int(label) for area in areas for label in np.flatnonzero(area >= _VISIBLE)}


def contact_sheet(prepared: Prepared, path: Path, axis: str = "axial") -> None:
    """Write a PNG of up to 6 cases in three views each, with their intensities, and of every class that these miss.

    The first view is the slice of most foreground; the others are the planes through the center of the foreground. A
    case without foreground is shown in its middle. Pixels have their proportions in millimeters, unknown areas are
    hatched.

    Args:
        axis: that the slices lie across: axial, coronal or sagittal.

    Raises:
        StoreError: the file cannot be written.
    """
    import matplotlib  # takes a second

    # the color of hatches is read when they are drawn
    with matplotlib.rc_context({"hatch.color": _TEXT, "hatch.linewidth": 0.6}), atomic_write(path) as file:
        _figure(prepared, axis).savefig(file, format="png", dpi=_DPI)


def _figure(prepared: Prepared, axis: str) -> Figure:
    from matplotlib.figure import Figure

    shown = list(_chosen(prepared, axis))
    columns = min(len(shown), _IN_A_ROW)
    lines = -(-len(shown) // columns)
    tallest = max(height for case in shown for height in map(_height, case.views))
    size = (4 * _PANEL * columns, (_PANEL * float(np.clip(tallest, 0.7, 1.2)) + _TITLES) * lines + _MARGIN)
    figure = Figure(figsize=size, layout="constrained", facecolor=_GROUND)
    groups = figure.subfigures(lines, columns, squeeze=False).ravel()
    for group in groups:
        group.set_facecolor(_GROUND)
    for group, case in zip(groups, shown, strict=False):
        group.suptitle(case.title, fontsize=8, color=_TEXT, x=0.01, ha="left")
        *planes, histogram = group.subplots(1, 4)
        for ax, view in zip(planes, case.views, strict=True):
            _draw_view(ax, view, case.gray, len(prepared.classes))
        _draw_histogram(histogram, case, len(prepared.classes))
    handles = list(_legend(prepared))
    ncols = -(-len(handles) // -(-len(handles) // _IN_LEGEND))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=ncols, fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_color(_TEXT)
    return figure


def _chosen(prepared: Prepared, axis: str) -> Iterable[_Shown]:
    """Evenly spaced cases, then for each class that they do not show the case with most of it."""
    seen: set[int] = set()
    for index in np.unique(np.linspace(0, len(prepared.cases) - 1, _CASES).round().astype(int)):
        case = _shown(prepared, int(index), axis)
        seen |= case.clear
        yield case
    for label, name in enumerate(prepared.classes, 1):
        voxels = [labels.classes[label - 1] for labels in prepared.labels]
        if label not in seen and any(voxels):
            case = _shown(prepared, int(np.argmax(voxels)), axis, label, name)
            seen |= case.clear
            yield case


def _shown(prepared: Prepared, index: int, axis: str, label: int | None = None, name: str = "") -> _Shown:
    """A case with the planes through its foreground, or through one class, `label` with its name."""
    start = int(prepared.counts[:index].sum())
    rows = slice(start, start + int(prepared.counts[index]))
    height, width = prepared.valid[index]
    image = np.asarray(prepared.images[rows, 0, :height, :width])
    mask = np.asarray(prepared.masks[rows, :height, :width])
    case = prepared.cases[index]
    title = case if len(case) <= _LONG else f"…{case[1 - _LONG :]}"  # names mostly differ at their ends
    turned, cut = _TURNS[axis], _AXES.index(axis)
    inside = mask == label if label else foreground(mask)
    at = _center(_upright(inside, axis), cut)
    spacing = [float(prepared.spacing[index][source]) for source in turned]
    views = _views(_upright(image, axis), _upright(mask, axis), spacing, at)
    return _Shown(
        title=f"{title}, for {name}" if name else title,
        views=[views[cut], *(view for number, view in enumerate(views) if number != cut)],
        gray=_gray(image, inside),
        intensities=sampled(image, _SAMPLE).astype(np.float32),
        labels=sampled(mask, _SAMPLE),
    )


def _gray(image: NDArray[np.float16], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Intensities that are black and white: those around the foreground, at most its own range below and above it.

    If the foreground has hardly a range, because its intensities are clipped to one value, all of those around it.
    """
    low, high = (float(value) for value in np.percentile(sampled(image[_surroundings(inside)], _SAMPLE), (1, 99.5)))
    if inside.any():
        lowest, highest = (float(value) for value in np.percentile(sampled(image[inside], _SAMPLE), (1, 99)))
        between = highest - lowest
        if between < _UNIFORM * (high - low):
            return low, max(high, low + 1e-3)
        low, high = max(low, lowest - between), min(high, highest + between)
    return low, max(high, low + 1e-3)


def _surroundings(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box around what is inside, a quarter larger on each side; everything if nothing is."""
    if not inside.any():
        return (slice(None),) * inside.ndim
    places = []
    for axis, side in enumerate(inside.shape):
        found = np.flatnonzero(inside.any(tuple(other for other in range(inside.ndim) if other != axis)))
        margin = (found[-1] - found[0] + 1) // 4
        places.append(slice(max(0, found[0] - margin), min(side, found[-1] + 1 + margin)))
    return tuple(places)


_TURNS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (1, 2, 0)}  # where z, y, x of the body are in a volume


def _upright(values: NDArray[Scalar], axis: str) -> NDArray[Scalar]:
    """(z, y, x) upward, to the back and to the left of the body; rows of a volume go down unless it is axial."""
    turned = values.transpose(_TURNS[axis])
    return turned if axis == "axial" else turned[::-1]


def _center(inside: NDArray[np.bool_], cut: int) -> list[int]:
    """The planes to show: across the axis of the slices that of most voxels inside, otherwise the middle of these."""
    if not inside.any():
        return [side // 2 for side in inside.shape]
    at = []
    for dimension in range(3):
        others = tuple(other for other in range(3) if other != dimension)
        areas = np.count_nonzero(inside, others)
        middle = np.searchsorted(np.cumsum(areas), areas.sum() / 2)
        at.append(int(areas.argmax() if dimension == cut else middle))
    return at


def _views(
    image: NDArray[np.float16], mask: NDArray[np.uint8], spacing: Sequence[float], at: Sequence[int]
) -> list[_View]:
    """The axial, coronal and sagittal plane of a (z, y, x) volume."""
    z, y, x = at
    dz, dy, dx = spacing
    down = len(mask) - 1 - z
    return [
        _View(f"axial {z}", image[z], mask[z], (dy, dx), (y, x)),
        _View(f"coronal {y}", image[::-1, y], mask[::-1, y], (dz, dx), (down, x)),
        _View(f"sagittal {x}", image[::-1, :, x], mask[::-1, :, x], (dz, dy), (down, y)),
    ]


def _height(view: _View) -> float:
    """Of a view whose width is 1."""
    (dy, dx), (height, width) = view.spacing, view.mask.shape
    return height * dy / (width * dx)


def _draw_view(ax: Axes, view: _View, gray: tuple[float, float], classes: int) -> None:
    from matplotlib.colors import to_rgb

    (dy, dx), (height, width) = view.spacing, view.mask.shape
    extent = (0, width * dx, height * dy, 0)
    image = view.image.astype(np.float32)
    ax.imshow(image, cmap="gray", vmin=gray[0], vmax=gray[1], extent=extent, interpolation="antialiased")
    x, y = (np.arange(width) + 0.5) * dx, (np.arange(height) + 0.5) * dy
    for label in range(1, classes + 1):
        inside = view.mask == label
        if inside.any():
            fill = np.zeros((*inside.shape, 4))
            fill[inside] = (*to_rgb(_color(label)), 0.18)
            ax.imshow(fill, extent=extent, interpolation="nearest")
            # a frame of zeros closes contours at the border, and one pixel of foreground has one
            framed = np.pad(inside.astype(float), 1)
            ax.contour(
                *(np.concatenate([side[:1] - step, side, side[-1:] + step]) for side, step in ((x, dx), (y, dy))),
                framed,
                levels=[0.5],
                colors=_color(label),
                linewidths=0.9,
            )
    unknown = view.mask == UNKNOWN
    if unknown.any() and min(unknown.shape) > 1:
        ax.contourf(x, y, unknown, levels=[0.5, 1.5], colors="none", hatches=["////"])
    row, column = view.cross
    for line, at in ((ax.axhline, y[row]), (ax.axvline, x[column])):
        line(at, color=_FAINT, linewidth=0.4, dashes=(4, 4))
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], facecolor="black", anchor="N")
    ax.set_title(view.title, fontsize=7, color=_FAINT, pad=3)
    for spine in ax.spines.values():
        spine.set_visible(False)
    _draw_scale(ax, extent[1], extent[2])


def _draw_scale(ax: Axes, width: float, height: float) -> None:
    """A bar of a round length, at most a third of the width."""
    from matplotlib.patheffects import withStroke

    length = max((length for length in _LENGTHS if length <= width / 3), default=None)
    if length is None or height < _FLAT * width:
        return
    left, bottom = 0.04 * width, height - 0.05 * max(width, height)
    edge = [withStroke(linewidth=2.5, foreground="black")]  # on bright images too
    ax.plot([left, left + length], [bottom] * 2, color=_TEXT, linewidth=1.2, solid_capstyle="butt", path_effects=edge)
    above = bottom - 0.02 * max(width, height)
    ax.text(left, above, f"{length} mm", color=_TEXT, fontsize=5.5, va="bottom", path_effects=edge)


def _draw_histogram(ax: Axes, case: _Shown, classes: int) -> None:
    """How often intensities occur, in all voxels and in each class, with equal peaks."""
    edges = np.linspace(case.intensities.min(), case.intensities.max(), _BINS + 1)
    for label in range(classes + 1):
        values = case.intensities[case.labels == label] if label else case.intensities
        counts, _ = np.histogram(values, edges)
        if counts.any():
            color = _color(label) if label else _ALL
            ax.stairs(counts / counts.max(), edges, fill=not label, color=color, linewidth=0.9)
    ax.set(facecolor=_GROUND, yticks=[], ylim=(0, 1.05), anchor="N", box_aspect=0.75)
    ax.tick_params(colors=_FAINT, labelsize=6, length=2)
    ax.set_title("intensities as prepared", fontsize=7, color=_FAINT, pad=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_FAINT)


def _legend(prepared: Prepared) -> Iterable[Line2D | Patch]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    for label, name in enumerate(prepared.classes, 1):
        yield Line2D([], [], color=_color(label), linewidth=2, label=name)
    if prepared.unknown is not None:
        yield Patch(facecolor="none", edgecolor=_TEXT, hatch="////", label="unknown")
    yield Patch(facecolor=_ALL, label="all voxels")


def _color(label: int) -> str:
    """Colors repeat with more classes than there are, in the order of the classes."""
    return _COLORS[(label - 1) % len(_COLORS)]
