"""Errors that a user can fix: one sentence with the rule, the value and the remedy. The command line exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def suggestion(word: str, known: Iterable[str], prefix: str = "", *, cutoff: float = 0.6) -> str:
    """The remedy for an unknown name: the nearest known one, or all of them.

    Args:
        prefix: written before each known name.
        cutoff: lowest similarity of a suggested name, from 0 to 1.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    if near:
        return f"did you mean '{prefix}{near[0]}'?"
    return f"choose one of {', '.join(f'{prefix}{name}' for name in names)}"


def few(items: Sequence[str], most: int = 3) -> str:
    """The first of several things in a sentence, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 case, 2 cases."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class AlbenchError(Exception):
    """An error that a user can fix; the message says what is wrong and how to fix it."""


class ConfigError(AlbenchError):
    """A name, an option or a value is invalid."""


class DataError(AlbenchError):
    """A file or a folder of images cannot be used."""


class MissingDataError(DataError):
    """A public dataset is not where it is looked for."""


class PluginError(AlbenchError):
    """A plugin tried to end the process."""


class StrategyError(AlbenchError):
    """A strategy broke a rule of the benchmark."""


class NetworkError(StrategyError):
    """The network lacks what a strategy needs of it."""


class MachineError(AlbenchError):
    """The machine has no memory left, or its GPU stopped; see `albench.machine_errors`."""


class StoreError(AlbenchError):
    """A run, a suite or the cache cannot be read or written."""
