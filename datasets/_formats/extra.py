"""Libraries that only some formats need: the extra `formats` of albench."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from albench.errors import DataError


def library(name: str, path: Path) -> Any:
    """The module that reads a file. Raises DataError if it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(
            f"{name} must be installed to read '{path}', it is not: run `pip install 'albench[formats]'`, or save the "
            "file as .nii.gz"
        ) from error
