"""The settings of a run that differ from the defaults of albench, and who set them, for `albench run`."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping

from albench.changed_options import changed_options
from albench.resolve import ResolvedRun
from albench.settings import as_setting

_WIDTH = 80


def changed_settings(run: ResolvedRun, given: Collection[str]) -> list[str]:
    """The settings that differ from the defaults of albench, in lines of at most 80 characters unless one is longer.

    Args:
        given: dotted names of those that the user sets.
    """
    sources: dict[str, dict[str, object]] = {"--set": {}, "--tuned": {}, f"dataset {run.config.title}": {}}
    mine, tuned, suited = sources.values()
    for name, value in changed_options(run.config).items():
        chosen = mine if name in given else tuned if name.startswith("strategy.") else suited
        chosen[name] = value
    return [line for source, found in sources.items() if found for line in _lines(source, found)]


def _lines(source: str, settings: Mapping[str, object]) -> list[str]:
    """Settings in wrapped lines, those of one source."""
    text = ", ".join(f"{name}={as_setting(value)}" for name, value in settings.items())
    wrapped = textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return [f"not the defaults of albench, by {source}:", *wrapped]
