"""The options of a run that are not the defaults of albench."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from albench.config import Protocol, RunConfig, Training, default_of, with_defaults
from albench.errors import AlbenchError
from albench.registry import DATASETS, NETWORKS, STRATEGIES, find, options_of

Options = Mapping[str, object]


def changed_options(config: RunConfig) -> dict[str, object]:
    """{dotted name: JSON value} of every option that is not the default; where the data are is left out.

    A plugin among the options is its name, and its own options have a dot more in theirs. Of a plugin that cannot be
    imported any more, all options count as changed. A file is its path, which is not looked at.
    """
    found = dict(_of_settings("protocol", config.protocol, Protocol()))
    found |= _of_settings("training", config.training, Training())
    for section, group, choice in (
        ("strategy", STRATEGIES, config.strategy),
        ("network", NETWORKS, config.network),
        ("data", DATASETS, config.dataset),
    ):
        found |= _of_plugin(section, group, choice.spec, choice.options)
    return found | {
        name: path for name, path in config.files.items() if path is not None and not name.endswith(".name")
    }


def _of_settings(section: str, settings: object, defaults: object) -> Iterator[tuple[str, object]]:
    return _unlike(section, options_of(settings), options_of(defaults))


def _of_plugin(section: str, group: str, spec: str, options: Options) -> Iterator[tuple[str, object]]:
    """Those of a plugin, and of the plugins among its options."""
    yield from _unlike(section, _by_name(options), _defaults(group, spec))
    for name, value in options.items():
        if isinstance(value, Mapping) and "name" in value:
            inner = {option: given for option, given in value.items() if option != "name"}
            yield from _of_plugin(f"{section}.{name}", group, str(value["name"]), inner)


def _defaults(group: str, spec: str) -> dict[str, object]:
    """The defaults of the options of a plugin; none of an option that must be given, or if there is no such plugin."""
    try:
        cls: type[Any] = find(group, spec)
        made = with_defaults(cls)
    except AlbenchError:
        return {}
    if made is not None:
        return _by_name(options_of(made))
    found = {field.name: default_of(field) for field in dataclasses.fields(cls)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _by_name(options: Options) -> dict[str, object]:
    """Options with plugins among them by their names alone."""
    return {
        name: value["name"] if isinstance(value, Mapping) and "name" in value else value
        for name, value in options.items()
    }


def _unlike(section: str, options: Options, defaults: Options) -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        if name not in defaults or value != defaults[name]:
            yield f"{section}.{name}", value
