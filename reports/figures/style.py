"""The style of figures: colors, lines and markers of methods, and how figures are written."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from albench.files import atomic_write

# Okabe and Ito, Color Universal Design, 2008, without yellow, which is pale on paper, and black, the color of text.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "o^Dv<>"  # the square marks the baseline
COLORED = len(_COLORS)
"""Most methods beside the baseline with a color of their own."""
HIGHLIGHT = _COLORS[0]
"""The color of what a panel is about, where all other methods are gray."""
BASELINE = "#7f7f7f"
INK = "#131415"
"""The color of text and axes; the page replaces it by its own, for light and dark."""
PREDICTION, TRUTH = "#E69F00", "#56B4E9"
"""Colors of contours on gray images."""
# Of several classes: the same colors with yellow, which is bright on gray, and without pink, which marks windows.
_CLASSES = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#D55E00", "#0072B2")
_TINTS = (0.0, 0.55, -0.45, 0.8, -0.7, 0.3)  # toward white if positive, toward black if negative
CONTOUR_WIDTH = 0.9
"""Points: of these contours."""
WIDTH = 7.0
"""Inches: the text width of most journals."""


@dataclass(frozen=True)
class LineStyle:
    """Color and marker of a method: no two methods of a figure share either."""

    color: str
    marker: str


@dataclass(frozen=True)
class Drawing:
    """A figure with its caption.

    Attributes:
        name: of its files.
        title: what it shows, in a few words.
        caption: sentences that must accompany the figure.
        figure: drawn, not yet written.
    """

    name: str
    title: str
    caption: tuple[str, ...]
    figure: Figure


def line_styles(labels: Sequence[str], baseline: str) -> dict[str, LineStyle]:
    """A style for each label, in order, the baseline in gray; empty if there are more labels than colors."""
    others = [label for label in labels if label != baseline]
    if len(others) > COLORED:
        return {}
    styles = map(LineStyle, _COLORS, _MARKERS)
    return {baseline: LineStyle(BASELINE, "s")} | dict(zip(others, styles, strict=False))


def class_colors(count: int) -> tuple[str, ...]:
    """A color for each of at most 36 classes; after six they are tints and shades of the first ones."""
    return tuple(_tinted(_CLASSES[i % len(_CLASSES)], _TINTS[i // len(_CLASSES)]) for i in range(count))


def _tinted(color: str, tint: float) -> str:
    end = 1.0 if tint > 0 else 0.0
    red, green, blue = (part + abs(tint) * (end - part) for part in to_rgb(color))
    return to_hex((red, green, blue)).upper()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure; height and width in inches. Draw within `styled()`."""
    return Figure(figsize=(width, height), layout="constrained")


def subplots(figure: Figure, rows: int, columns: int, *, sharey: bool = False) -> list[list[Axes]]:
    """Axes of a grid, by row."""
    return [list(row) for row in figure.subplots(rows, columns, squeeze=False, sharey=sharey)]


def small_multiples(figure: Figure, count: int, columns: int, titles: tuple[str, str]) -> list[Axes]:
    """Equal panels in rows, which share both axes, with titles where there is room for them.

    Args:
        figure: an empty one.
        count: of the panels.
        columns: of the grid.
        titles: of both axes: below the lowest panel of every column, and left of the first one of every row.
    """
    grid = figure.subplots(-(-count // columns), columns, squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)
    for ax in panels[count:]:
        ax.set_axis_off()
    for ax in panels[max(0, count - columns) : count]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(wrapped(titles[0], 16), fontsize=7)
    for ax in panels[:count:columns]:
        ax.set_ylabel(wrapped(titles[1], 18), fontsize=7)
    return panels[:count]


def write_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    """Write NAME.pdf and NAME.png, and give their paths."""
    paths = {kind: folder / f"{drawing.name}.{kind}" for kind in ("pdf", "png")}
    with styled():
        _lay_out(drawing.figure)
        for kind, path in paths.items():
            metadata = {"CreationDate": None} if kind == "pdf" else {"Software": None}
            with atomic_write(path) as file:
                drawing.figure.savefig(file, format=kind, metadata=metadata)
    return list(paths.values())


def as_svg(drawing: Drawing) -> str:
    """The figure as an element of a page, without a background and without ids that other figures have too."""
    text = io.StringIO()
    with styled(), rc_context({"svg.hashsalt": drawing.name}):
        _lay_out(drawing.figure)
        drawing.figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :])  # every figure has an axes_1
    return svg.replace(INK, "currentColor")


def _lay_out(figure: Figure) -> None:
    """Compute the layout once for all formats; with an engine, each would draw the figure twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        FigureCanvasPdf(figure)  # becomes its canvas, whose text is measured in its true size
        engine.execute(figure)
        figure.set_layout_engine(None)


def wrapped(label: str, width: int = 24) -> str:
    """A label in lines of about so many letters, broken after spaces, hyphens and commas."""
    lines = [""]
    for part in re.findall(r"[^\s,-]*[\s,-]*", label):
        if lines[-1] and len(f"{lines[-1]}{part}".rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


@contextmanager
def styled() -> Iterator[None]:
    """Apply `style.mplstyle`, for drawing and for writing."""
    path = files("albench.reports.figures") / "style.mplstyle"
    colors = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    with as_file(path) as file, style.context([str(file), dict.fromkeys(colors, INK)]):
        yield
