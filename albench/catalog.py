"""What can be named, in words: lines of the menu and the page of one entry."""

from __future__ import annotations

import dataclasses
import inspect
import sys

from albench.errors import AlbenchError
from albench.registry import DATASETS, STRATEGIES, Entry, find

_PREFIX = {STRATEGIES: "strategy", DATASETS: "data"}


def summary(entry: Entry) -> str:
    """One line: what it does, or why it is broken."""
    return f"broken: {entry.problem}" if entry.cls is None else _source_text(entry.cls).splitlines()[0]


def describe(name: str) -> str:
    """The page of a strategy or a dataset: what it does, its source, its options with their defaults.

    Raises:
        ConfigError: nothing has that name.
    """
    try:
        cls = find(STRATEGIES, name)
    except AlbenchError as unknown:
        try:
            cls = find(DATASETS, name)
        except AlbenchError:
            raise unknown from None
    lines = [name, "", _source_text(cls), "", "Options:"]
    for field in dataclasses.fields(cls):
        default = "required" if field.default is dataclasses.MISSING else f"default {field.default!r}"
        lines.append(f"  {_PREFIX[cls.group]}.{field.name}  ({field.type}, {default})")
    if not dataclasses.fields(cls):
        lines.append("  none")
    attributes = [inspect.cleandoc(c.__doc__ or "") for c in reversed(cls.__mro__) if dataclasses.is_dataclass(c)]
    meanings = [doc.partition("Attributes:\n")[2].rstrip() for doc in attributes]
    if any(meanings):
        lines += ["", "Meaning:", *(meaning for meaning in meanings if meaning)]
    return "\n".join(lines)


def _source_text(cls: type) -> str:
    """The docstring of the module, or of a class that is not alone in its module's sentence."""
    return inspect.cleandoc(sys.modules[cls.__module__].__doc__ or cls.__doc__ or cls.__name__)
