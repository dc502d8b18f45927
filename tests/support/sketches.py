"""Figures that a report builds, but neither lays out nor renders, for tests of what else is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from albench.files import atomic_write
from albench.reports.figures.style import Drawing


@contextmanager
def sketched_figures() -> Iterator[None]:
    """In reports written here the files of figures hold nothing but a name, which saves most of the time."""
    with patch.multiple("albench.reports.page", write_drawing=_write, as_svg=_svg):
        yield


def _write(drawing: Drawing, folder: Path) -> list[Path]:
    paths = [folder / f"{drawing.name}.{kind}" for kind in ("pdf", "png")]
    for path in paths:
        with atomic_write(path) as file:
            file.write(drawing.name.encode())
    return paths


def _svg(drawing: Drawing) -> str:
    return '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
