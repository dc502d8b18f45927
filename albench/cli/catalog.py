"""Descriptions of strategies, datasets, networks and settings, for `albench list` and `albench show`."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from rich.markup import escape

from albench.config import Protocol, Training, default_of, required, with_defaults
from albench.data import Dataset
from albench.errors import AlbenchError, ConfigError, suggestion
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
from albench.resolve import make_dataset
from albench.settings import as_setting, by_section

_PREFIX = {STRATEGIES: "strategy", DATASETS: "data", NETWORKS: "network"}
_NO_OPTIONS = ["Options:", "  none"]
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
    strategy = with_defaults(cls)
    number = None if strategy is None else strategy.predictions_per_slice()
    return "" if number is None else f"{number:.3g}"


@dataclass(frozen=True)
class Suited:
    """What a dataset makes of the defaults.

    Attributes:
        dataset: its name.
        settings: values by dotted name; empty where they depend on data that are not given.
        rule: in words, how they follow from the data; empty where `settings` says it.
    """

    dataset: str
    settings: Mapping[str, object]
    rule: str = ""


def suited(dataset: str, settings: Mapping[str, object]) -> Suited:
    """What a dataset makes of the defaults.

    Args:
        dataset: a name, `FILE.py:Class` or `module:Class`.
        settings: its options by dotted name; without those that must be given, the rule is told instead.

    Raises:
        ConfigError: an option is wrong.
        DataError: the data, on which the defaults depend, cannot be used.
    """
    cls, given = find(DATASETS, dataset), by_section(settings)["data"]
    open_options = [name for name in required(cls) if name not in given]
    if open_options:
        missing = ", ".join(f"--set data.{name}=..." for name in open_options)
        return Suited(cls.name, {}, f"{inspect.getdoc(cls.defaults)}\n\nWith {missing}, the values are shown.")
    return Suited(cls.name, make_dataset(dataset, settings).defaults())


def is_described(name: str) -> bool:
    """Whether `describe` knows a plugin or a section of settings of this name."""
    return name in SETTINGS or any(entry.name == name for group in KINDS for entry in available(group))


def describe(name: str, dataset: Suited | None = None, kind: str | None = None) -> str:
    """A plugin, a section of settings or one option: description, source, and options with defaults.

    Args:
        name: of a plugin; `protocol` or `training`; or an option as `training.epochs` or `star.aggregation`.
        dataset: what a dataset makes of the defaults of protocol, training and network.
        kind: `strategy`, `dataset` or `network`, of a plugin; None finds it.

    Raises:
        ConfigError: the name is unknown, or a dataset has no defaults for it.
    """
    place, dot, option = ("", "", "") if ":" in name else name.rpartition(".")
    page = page_of(place if dot else name, kind)
    if dataset is not None and not page.suits:
        raise ConfigError(
            f"a dataset has defaults for {', '.join(SETTINGS)} and {DEFAULT_NETWORK}, got '{name}': leave --dataset out"
        )
    if not dot:
        return "\n".join([*page.head, *page.options(dataset), *page.meaning, *page.foot(dataset)])
    if option not in page.names:
        raise ConfigError(
            f"an option must be known, got '{name}': " + suggestion(option, page.names, f"{place}.")
            if page.names
            else f"'{place}' has no options, got '{name}': leave the option out"
        )
    return "\n".join([page.option(option, dataset), "", page.meanings().get(option, ""), *page.foot(dataset)])


@dataclass(frozen=True)
class Page:
    """What `albench show` prints about a class of settings.

    Attributes:
        title: as the user named it.
        cls: its class.
        prefix: of its options.
        suits: whether defaults of a dataset apply to it.
    """

    title: str
    cls: type[Any]
    prefix: str
    suits: bool

    @property
    def names(self) -> list[str]:
        """Of the options."""
        return [field.name for field in dataclasses.fields(self.cls)]

    @property
    def description(self) -> str:
        """The docstring, without the options."""
        text = "" if self.prefix in SETTINGS else _source_text(self.cls)
        return text or inspect.cleandoc(self.cls.__doc__ or "").splitlines()[0]

    @property
    def traits(self) -> dict[str, str]:
        """What a strategy is, needs and costs, by title; of other classes nothing."""
        return _traits(self.cls, with_defaults(self.cls)) if self.prefix == _PREFIX[STRATEGIES] else {}

    @property
    def head(self) -> list[str]:
        """Name, description and traits."""
        lines = [self.title, "", self.description, ""]
        if self.prefix == _PREFIX[STRATEGIES]:
            lines += [*(f"{title}: {value}" for title, value in self.traits.items()), ""]
        return lines

    def options(self, dataset: Suited | None) -> list[str]:
        """The list of all options."""
        return ["Options:", *[f"  {self.option(name, dataset)}" for name in self.names]] if self.names else _NO_OPTIONS

    def option(self, name: str, dataset: Suited | None) -> str:
        """One option with its type and its default, and what a dataset makes of that."""
        kind, default = self.type_and_default(name)
        dotted = f"{self.prefix}.{name}"
        usual = getattr(with_defaults(self.cls), name, default_of(self._field(name)))
        if dataset is not None and as_setting(dataset.settings.get(dotted, usual)) != as_setting(usual):
            default += f", for {dataset.dataset} {dataset.settings[dotted]!r}"
        return f"{dotted}  ({kind}, {default})"

    def type_and_default(self, name: str) -> tuple[str, str]:
        """The type of an option and its default, in words."""
        field = self._field(name)
        kind = _in_words(get_type_hints(self.cls, include_extras=True)[name])
        if default_of(field) is dataclasses.MISSING:
            return kind, "required"
        made = with_defaults(self.cls)
        return kind, f"default {_default(field, {} if made is None else vars(made))}"

    def _field(self, name: str) -> dataclasses.Field[Any]:
        (field,) = (field for field in dataclasses.fields(self.cls) if field.name == name)
        return field

    @property
    def meaning(self) -> list[str]:
        """What all options mean."""
        docs = [doc for doc in self._attributes() if doc]
        return ["", "Meaning:", *docs] if docs else []

    def meanings(self) -> dict[str, str]:
        """{option: what it means}."""
        entries = [entry for doc in self._attributes() for entry in re.split(r"^    (?=\w+: )", doc, flags=re.M)]
        return {name: " ".join(text.split()) for name, _, text in (entry.partition(": ") for entry in entries)}

    def foot(self, dataset: Suited | None) -> list[str]:
        """What comes before the defaults."""
        if dataset is not None and dataset.rule:
            return ["", f"{dataset.dataset}: {dataset.rule}"]
        if dataset is not None:
            return ["", f"Values for {dataset.dataset} come before the defaults, and --set before both."]
        if not self.suits:
            return []
        return ["", "Defaults of the dataset override these, as --dataset NAME shows, and --set overrides both."]

    def _attributes(self) -> list[str]:
        """The list of attributes in the docstring of the class and of those that it is derived from."""
        docs = [inspect.cleandoc(c.__doc__ or "") for c in reversed(self.cls.__mro__) if dataclasses.is_dataclass(c)]
        return [doc.partition("Attributes:\n")[2].rstrip() for doc in docs]


def page_of(name: str, kind: str | None = None) -> Page:
    """The page of a plugin, or of the options that a section has whatever the plugin.

    Raises:
        ConfigError: the name is unknown.
    """
    default_network = find(NETWORKS, DEFAULT_NETWORK)
    if kind is None and name in SETTINGS:
        return Page(name, SETTINGS[name], name, suits=True)
    if kind is None and name in (_PREFIX[DATASETS], _PREFIX[NETWORKS]):  # the sections of options of any
        cls = Dataset if name == _PREFIX[DATASETS] else default_network
    else:
        groups = [group for group, word in KINDS.items() if word == kind]
        cls = find(groups[0], name) if groups else _find(name)
    return Page(name, cls, _PREFIX[cls.group], suits=cls is default_network)


def _default(field: dataclasses.Field[Any], defaults: Mapping[str, object]) -> str:
    """The default of an option in words; a strategy is its name."""
    value = defaults.get(field.name, default_of(field))
    return value.name if getattr(value, "group", None) in KINDS else repr(value)  # type: ignore[attr-defined]


def _traits(cls: type[Any], strategy: Any | None) -> dict[str, str]:
    """What a strategy is, needs and costs, by title."""
    number, cost = _predictions(cls), ""
    if strategy is not None and number:
        cost = "no prediction" if number == "0" else f"every unlabeled slice is predicted {_times(number)}"
        cost += f", and {strategy.trainings()} trainings in a round" if strategy.trainings() > 1 else ""
    traits = {"Kind": cls.kind, "Needs": cls.needs, "Cost of a query": cost, "Source": cls.paper}
    return {title: value for title, value in traits.items() if value}


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
