"""Errors that clients are told: MONAI Label's server hands on nothing but errors of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from albench.errors import AlbenchError

_UNPROCESSABLE = 422


@contextmanager
def told_to_client() -> Iterator[None]:
    """Raise an AlbenchError as an answer with its sentence. Also a decorator."""
    try:
        yield
    except AlbenchError as error:
        raise HTTPException(_UNPROCESSABLE, str(error)) from error
