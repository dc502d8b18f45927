"""Errors that a user can mend: one sentence with the rule, the value and the remedy. The command line exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str], prefix: str = "", *, cutoff: float = 0.6) -> str:
    """The remedy for an unknown name: the nearest known one, or all of them.

    Args:
        prefix: what the user writes before a known name.
        cutoff: how alike the nearest must be, from 0 to 1.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    if near:
        return f"did you mean '{prefix}{near[0]}'?"
    return f"choose one of {', '.join(f'{prefix}{name}' for name in names)}"


class AlbenchError(Exception):
    """Something outside albench is wrong; the message says what, and what to do about it."""


class ConfigError(AlbenchError):
    """A name, an option or a value is wrong."""


class DataError(AlbenchError):
    """A file or folder of images cannot be used as it is."""


class StrategyError(AlbenchError):
    """A strategy broke the rules of the benchmark."""


class StoreError(AlbenchError):
    """A run directory or the cache cannot be read or written."""
