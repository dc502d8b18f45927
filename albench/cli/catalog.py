"""Descriptions of strategies, datasets, networks and settings, for `albench list` and `albench show`."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from rich.markup import escape

from albench.config import Protocol, Training, default_of
from albench.errors import AlbenchError
from albench.registry import (
    DATASETS,
    DEFAULT_NETWORK,
    KINDS,
    NETWORKS,
    STRATEGIES,
    Entry,
    available,
    find,
    has_siblings,
)

_PREFIX = {STRATEGIES: "strategy", DATASETS: "data", NETWORKS: "network"}
SETTINGS: dict[str, type[Any]] = {"protocol": Protocol, "training": Training}

COLUMNS = {
    STRATEGIES: ("name", "kind", "needs", "paper"),
    DATASETS: ("name", "description"),
    NETWORKS: ("name", "description", "paper"),
}


def row(group: str, entry: Entry) -> tuple[str, ...]:
    """The cells of an entry in `albench list`. A broken plugin shows the reason instead of its description."""
    columns = COLUMNS[group][1:]
    if entry.cls is None:
        cells = [f"broken: {entry.problem}", *[""] * (len(columns) - 1)]
    else:
        text = _source_text(entry.cls).splitlines()[0]
        cells = [text if column == "description" else str(getattr(entry.cls, column)) for column in columns]
    return (entry.name, *(escape(cell) for cell in cells))


def describe(name: str) -> str:
    """A plugin or a section of settings: its description, its source, and its options with defaults.

    Raises:
        ConfigError: the name is unknown.
    """
    if name in SETTINGS:
        cls, prefix, text = SETTINGS[name], name, ""
    else:
        cls = _find(name)
        prefix, text = _PREFIX[cls.group], _source_text(cls)
    hints = get_type_hints(cls, include_extras=True)
    required = [field for field in dataclasses.fields(cls) if default_of(field) is dataclasses.MISSING]
    defaults = {} if required else vars(cls())  # of an instance, which fills in what a preset sets
    lines = [name, "", text or inspect.cleandoc(cls.__doc__ or "").splitlines()[0], "", "Options:"]
    for field in dataclasses.fields(cls):
        default = "required" if field in required else f"default {defaults.get(field.name, field.default)!r}"
        lines.append(f"  {prefix}.{field.name}  ({_in_words(hints[field.name])}, {default})")
    if not dataclasses.fields(cls):
        lines.append("  none")
    attributes = [inspect.cleandoc(c.__doc__ or "") for c in reversed(cls.__mro__) if dataclasses.is_dataclass(c)]
    meanings = [doc.partition("Attributes:\n")[2].rstrip() for doc in attributes]
    if any(meanings):
        lines += ["", "Meaning:", *(meaning for meaning in meanings if meaning)]
    if name in SETTINGS or name == DEFAULT_NETWORK:
        lines += ["", "Defaults of the dataset override these, and --set overrides both."]
    return "\n".join(lines)


def _find(name: str) -> type[Any]:
    if ":" in name:
        for group in (STRATEGIES, DATASETS):
            with suppress(AlbenchError):
                return find(group, name)
        return find(NETWORKS, name)
    groups = {entry.name: group for group in KINDS for entry in available(group)}
    near = difflib.get_close_matches(name, groups, n=1, cutoff=0.5)
    return find(groups[near[0]] if near else STRATEGIES, name)


def _in_words(hint: object) -> str:
    """A type in words: `integer, at least 2`, `mean | sum`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        rules = [rule for extra in parts[1:] for rule in getattr(extra, "metadata", [extra])]
        limits = [
            f", {words} {getattr(rule, name)}"
            for rule in rules
            for name, words in _LIMITS.items()
            if hasattr(rule, name)
        ]
        return _in_words(parts[0]) + "".join(limits)
    if origin is Literal:
        return " | ".join(str(part) for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(part) for part in parts)
    if origin is dict:
        return f"mapping of {_in_words(parts[0])} to {_in_words(parts[1])}"
    if origin is tuple:
        return f"list of {_in_words(parts[0])}"
    return _WORDS.get(hint, str(hint))


_WORDS: dict[object, str] = {int: "integer", float: "number", str: "text", bool: "true | false", type(None): "none"}
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _source_text(cls: type) -> str:
    """The docstring of the module; preceded by that of the class if the module registers several."""
    module = inspect.cleandoc(sys.modules[cls.__module__].__doc__ or "")
    own = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[0].rstrip()
    if module and not has_siblings(cls):
        return module
    return "\n\n".join(text for text in (own, module) if text) or cls.__name__
