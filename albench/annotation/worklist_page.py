"""The worklist as a page that can be printed: one HTML file with a thumbnail of every slice, which needs no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import albench
from albench.annotation.label_colors import color_of, label_colors
from albench.annotation.volume_files import image_path, write_once
from albench.annotation.worklist import Place, Task, by_rank, is_oblique, places
from albench.data import FileGrid
from albench.errors import DataError
from albench.masks import UNKNOWN, Mask

_PIXELS = 256  # of a side of a thumbnail, at most
_SIDE = 150  # CSS pixels of the longer side
_DARK, _BRIGHT = 1, 99.5  # percentiles of a volume's thumbnails that are black and white
_SIDES = {
    "axial": "The top is the front of the body, and the left is its right.",
    "coronal": "The top is the top of the body, and the left is its right.",
    "sagittal": "The top is the top of the body, and the left is its front.",
}


@dataclass(frozen=True)
class _Figure:
    """A thumbnail on the page: its PNG as an address, its sides in CSS pixels, and its place."""

    source: str
    width: int
    height: int
    place: Place


@dataclass(frozen=True)
class _Card:
    """A volume on the page; of its image, the file and its folder."""

    name: str
    label_file: str
    image: str
    axis: str
    sides: str
    oblique: bool
    figures: Sequence[_Figure]


def write_worklist_page(
    path: Path,
    tasks: Sequence[Task],
    images: Mapping[str, Mapping[int, NDArray[np.floating]]],
    classes: Sequence[str],
    *,
    title: str,
    about: str = "",
) -> None:
    """Write the page.

    Args:
        tasks: as in `worklist_csv`.
        images: {case: {position: (h, w) intensities}} of all slices, on any grid that shows the whole slice.
        classes: names of the classes 1 to K.
        title: what the worklist is of, such as the project and its round.
        about: a sentence about it, such as the strategy.

    Raises:
        DataError: the image of a slice is missing.
        StoreError: a file with other content is there, or it cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("albench.annotation")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    cards = [_card(task, images.get(task.asked.case, {})) for task in by_rank(tasks)]
    text = environment.get_template("worklist.html.jinja").render(
        title=title,
        about=about,
        version=albench.__version__,
        cards=cards,
        slices=sum(len(card.figures) for card in cards),
        asked_first=_asked_first(tasks),
        suggested=any(figure.place.suggestion for card in cards for figure in card.figures),
        labels=[label for label in label_colors(classes) if label.opacity == 1],
        unknown=UNKNOWN,
    )
    write_once(path, text.encode())


def _asked_first(tasks: Sequence[Task]) -> str:
    """Which end of the score is asked for first, in a sentence; empty without different scores."""
    reasons = sorted((reason for task in tasks for reason in task.reasons.values()), key=lambda reason: reason.rank)
    scores = [reason.score for reason in reasons if reason.score is not None]
    if len(scores) < len(reasons) or len(set(scores)) < 2:
        return ""
    if scores == sorted(scores):
        return "The slice with the lowest score is asked for first."
    if scores == sorted(scores, reverse=True):
        return "The slice with the highest score is asked for first."
    return "The strategy does not ask by the score alone."


def thumbnail(
    image: NDArray[np.floating], suggestion: Mask | None = None, gray: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """(h, w, 3) picture of a slice, of large ones every k-th pixel, with the outlines of its suggestion.

    Args:
        image: (h, w) intensities.
        suggestion: label map of the whole slice on any grid.
        gray: intensities that are black and white; None takes percentiles of the slice.
    """
    step = -(-max(image.shape) // _PIXELS)
    shown = np.nan_to_num(image[::step, ::step].astype(np.float32))
    low, high = gray or _gray([shown])
    level = np.clip(255 * (shown - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    picture = np.repeat(level[..., None], 3, axis=-1)
    if suggestion is not None:
        rows, columns = (
            (np.arange(side) * full // side) for side, full in zip(shown.shape, suggestion.shape, strict=True)
        )
        labels = suggestion[np.ix_(rows, columns)]
        for label in np.unique(labels[(labels > 0) & (labels != UNKNOWN)]).tolist():
            picture[_outline(labels == label)] = color_of(label)
    return picture


def _gray(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    values = np.concatenate([image[::2, ::2].ravel() for image in images])
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (_DARK, _BRIGHT)) if values.size else (0.0, 1.0)
    return float(low), float(high)


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of an area that have a neighbor outside of it, or lie at the border."""
    framed = np.pad(inside, 1)
    around = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return inside & ~around


def _card(task: Task, images: Mapping[int, NDArray[np.floating]]) -> _Card:
    asked = task.asked
    missing = [position for position in asked.positions if position not in images]
    if missing:
        raise DataError(
            f"every slice of a worklist must have an image, '{asked.case}' has none at {missing}: read them"
        )
    gray = _gray([images[position].astype(np.float32) for position in asked.positions])
    figures = []
    for place in places(task):
        picture = thumbnail(images[place.position], asked.suggestions.get(place.position), gray)
        width, height = _sides(asked.grid)
        figures.append(_Figure(_as_png(picture), width, height, place))
    axis = asked.grid.axis
    return _Card(
        name=asked.case,
        label_file=task.label_file,
        image="/".join(image_path(asked.grid).parts[-2:]),
        axis=axis,
        sides=_SIDES[axis],
        oblique=is_oblique(asked.grid),
        figures=figures,
    )


def _sides(grid: FileGrid) -> tuple[int, int]:
    """Width and height of a thumbnail, in the proportions of the body."""
    (_, rows, columns), (_, dy, dx) = grid.slices, grid.spacing
    height, width = rows * dy, columns * dx
    scale = _SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _as_png(picture: NDArray[np.uint8]) -> str:
    """A picture as an address with its content."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
