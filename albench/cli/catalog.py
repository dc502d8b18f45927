"""Descriptions of strategies, datasets, networks and settings, for `albench list` and `albench show`."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from collections.abc import Mapping
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

PREDICTIONS = "predictions"
COLUMNS = {
    STRATEGIES: ("name", PREDICTIONS, "needs", "paper"),
    DATASETS: ("name", "description"),
    NETWORKS: ("name", "description", "paper"),
}


def rows(group: str) -> list[tuple[str, ...]]:
    """The rows of `albench list`. Strategies are grouped by their kind, each group under a row that names it.

    A broken plugin shows the reason instead of its description.
    """
    entries = available(group)
    if group != STRATEGIES:
        return [_row(group, entry) for entry in entries]
    found: list[tuple[str, ...]] = []
    for kind in (*_KINDS, _BROKEN):
        members = [entry for entry in entries if _kind(entry) == kind]
        if members:
            found.append((f"[bold]{kind}[/bold]", *[""] * (len(COLUMNS[group]) - 1)))
            found += [_row(group, entry, "  ") for entry in members]
    return found


_KINDS = ("uncertainty", "diversity", "hybrid", "semi-supervised", "wrapper", "other", "baseline")
_BROKEN = "broken"


def _kind(entry: Entry) -> str:
    """The group of a strategy in the list."""
    if entry.cls is None:
        return _BROKEN
    kind = getattr(entry.cls, "kind", "other")
    return kind if kind in _KINDS else "other"


def _row(group: str, entry: Entry, indent: str = "") -> tuple[str, ...]:
    """The cells of an entry."""
    columns = COLUMNS[group][1:]
    if entry.cls is None:
        cells = [""] * len(columns)
        cells[-1 if group == STRATEGIES else 0] = f"broken: {entry.problem}"
    else:
        cells = [_cell(entry.cls, column) for column in columns]
    return (indent + entry.name, *(escape(cell) for cell in cells))


def _cell(cls: type[Any], column: str) -> str:
    if column == "description":
        return _source_text(cls).splitlines()[0]
    return _predictions(cls) if column == PREDICTIONS else str(getattr(cls, column))


def _predictions(cls: type[Any]) -> str:
    """How often a query predicts an unlabeled slice with the default options; empty if that is not known."""
    strategy = _with_defaults(cls)
    number = None if strategy is None else strategy.predictions_per_slice()
    return "" if number is None else f"{number:.3g}"


def _with_defaults(cls: type[Any]) -> Any | None:
    """A plugin with the default options, which fills in what a preset sets; None if an option is required."""
    required = any(default_of(field) is dataclasses.MISSING for field in dataclasses.fields(cls))
    return None if required else cls()


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
    made = _with_defaults(cls)
    defaults = {} if made is None else vars(made)
    lines = [name, "", text or inspect.cleandoc(cls.__doc__ or "").splitlines()[0], ""]
    if prefix == _PREFIX[STRATEGIES]:
        lines += [*_traits(cls, made), ""]
    lines.append("Options:")
    for field in dataclasses.fields(cls):
        default = "required" if default_of(field) is dataclasses.MISSING else f"default {_default(field, defaults)}"
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


def _default(field: dataclasses.Field[Any], defaults: Mapping[str, object]) -> str:
    """The default of an option in words; a strategy is its name."""
    value = defaults.get(field.name, default_of(field))
    return value.name if getattr(value, "group", None) in KINDS else repr(value)  # type: ignore[attr-defined]


def _traits(cls: type[Any], strategy: Any | None) -> list[str]:
    """What a strategy is, needs and costs, line by line."""
    number, cost = _predictions(cls), ""
    if strategy is not None and number:
        cost = "no prediction" if number == "0" else f"every unlabeled slice is predicted {_times(number)}"
        cost += f", and {strategy.trainings()} trainings in a round" if strategy.trainings() > 1 else ""
    traits = {"Kind": cls.kind, "Needs": cls.needs, "Cost of a query": cost, "Source": cls.paper}
    return [f"{title}: {value}" for title, value in traits.items() if value]


def _times(number: str) -> str:
    return {"1": "once", "2": "twice"}.get(number, f"{number} times")


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
    if getattr(hint, "group", None) in KINDS:
        return f"{KINDS[hint.group]}: its name, or a mapping of its name and options"  # type: ignore[attr-defined]
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
