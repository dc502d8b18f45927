"""Errors that end a run, noted in its folder; the next finished round removes the note."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from albench.errors import AlbenchError, ConfigError, StoreError
from albench.runs.reader import RunReader
from albench.runs.store import write_failure


@contextmanager
def noting_failure(folder: Path) -> Iterator[None]:
    """Note an error that ends a started run, unless it is about the folder or about what the user asked for."""
    try:
        yield
    except (StoreError, ConfigError):
        raise
    except Exception as error:
        with suppress(StoreError):  # writing may be what failed
            if RunReader(folder).started:
                write_failure(folder, sentence(error), traceback.format_exc())
        raise


def sentence(error: Exception) -> str:
    """The error in one sentence; other errors than those of albench with their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, AlbenchError) else f"{type(error).__name__}: {text}".removesuffix(": ")
