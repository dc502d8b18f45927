"""The settings of a run that differ from the defaults of albench, and who set them, for `albench run`."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Collection, Iterator, Mapping

from albench.cli.catalog import with_defaults
from albench.config import Protocol, Training, default_of
from albench.console import as_setting
from albench.registry import DATASETS, find, options_of, plugins_in
from albench.resolve import ResolvedRun

_WIDTH = 80


def changed_settings(run: ResolvedRun, given: Collection[str]) -> list[str]:
    """The settings that differ from the defaults of albench, in lines of at most 80 characters unless one is longer.

    Args:
        given: dotted names of those that the user sets.
    """
    sources: dict[str, dict[str, object]] = {"--set": {}, "--tuned": {}, f"dataset {run.config.title}": {}}
    mine, tuned, suited = sources.values()
    for name, value in _differing(run):
        chosen = mine if name in given else tuned if name.startswith("strategy.") else suited
        chosen[name] = value
    return [line for source, found in sources.items() if found for line in _lines(source, found)]


def _differing(run: ResolvedRun) -> Iterator[tuple[str, object]]:
    """(dotted name, value) of every setting that is not the default; places of data are left out."""
    protocol, training = run.config.protocol, run.config.training
    yield from _unlike("protocol", options_of(protocol), options_of(Protocol()))
    yield from _unlike("training", options_of(training), options_of(Training()))
    plugins = plugins_in(run.strategy, "strategy") | plugins_in(run.network, "network")
    for section, plugin in plugins.items():
        yield from _unlike(section, _named(options_of(plugin)), _defaults(type(plugin)))
    dataset = run.config.dataset
    yield from _unlike("data", dataset.options, _defaults(find(DATASETS, dataset.spec)))


def _defaults(cls: type) -> dict[str, object]:
    """The defaults of the options of a plugin as JSON values; none of an option that must be given."""
    made = with_defaults(cls)
    if made is not None:
        return _named(options_of(made))
    found = {field.name: default_of(field) for field in dataclasses.fields(cls)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _unlike(
    section: str, options: Mapping[str, object], defaults: Mapping[str, object]
) -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        if name not in defaults or value != defaults[name]:
            yield f"{section}.{name}", value


def _named(options: Mapping[str, object]) -> dict[str, object]:
    """Options with plugins among them by their names alone."""
    return {
        key: value["name"] if isinstance(value, dict) and "name" in value else value for key, value in options.items()
    }


def _lines(source: str, settings: Mapping[str, object]) -> list[str]:
    """Settings in wrapped lines, those of one source."""
    text = ", ".join(f"{name}={as_setting(value)}" for name, value in settings.items())
    wrapped = textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return [f"not the defaults of albench, by {source}:", *wrapped]
