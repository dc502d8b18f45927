"""What can be named, in words: lines of the menu and the page of one entry."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from typing import Any

from albench.errors import AlbenchError
from albench.registry import DATASETS, STRATEGIES, Entry, find, menu

_PREFIX = {STRATEGIES: "strategy", DATASETS: "data"}


def summary(entry: Entry) -> str:
    """One line: what it does, or why it is broken."""
    return f"broken: {entry.problem}" if entry.cls is None else _source_text(entry.cls).splitlines()[0]


def describe(name: str) -> str:
    """The page of a strategy or a dataset: what it does, its source, its options with their defaults.

    Raises:
        ConfigError: nothing has that name.
    """
    cls = _find(name)
    lines = [name, "", _source_text(cls), "", "Options:"]
    for field in dataclasses.fields(cls):
        default = "required" if field.default is dataclasses.MISSING else f"default {field.default!r}"
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        lines.append(f"  {_PREFIX[cls.group]}.{field.name}  ({kind}, {default})")
    if not dataclasses.fields(cls):
        lines.append("  none")
    attributes = [inspect.cleandoc(c.__doc__ or "") for c in reversed(cls.__mro__) if dataclasses.is_dataclass(c)]
    meanings = [doc.partition("Attributes:\n")[2].rstrip() for doc in attributes]
    if any(meanings):
        lines += ["", "Meaning:", *(meaning for meaning in meanings if meaning)]
    return "\n".join(lines)


def _find(name: str) -> type[Any]:
    if ":" in name:
        try:
            return find(STRATEGIES, name)
        except AlbenchError:
            return find(DATASETS, name)
    groups = {entry.name: group for group in (STRATEGIES, DATASETS) for entry in menu(group)}
    near = difflib.get_close_matches(name, groups, n=1, cutoff=0.5)
    return find(groups[near[0]] if near else STRATEGIES, name)


def _source_text(cls: type) -> str:
    """The docstring of the module, or of a class that is not alone in its module's sentence."""
    return inspect.cleandoc(sys.modules[cls.__module__].__doc__ or cls.__doc__ or cls.__name__)
