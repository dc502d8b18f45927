"""Settings as a user writes them: `--set training.epochs=30`, by their dotted names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from albench.errors import ConfigError

SECTIONS = ("strategy", "data", "protocol", "training", "network")


def parse_settings(assignments: Sequence[str] | None, data_root: Path | None = None) -> dict[str, object]:
    """`["training.epochs=30", ...]` to {"training.epochs": 30, ...}; values are read as YAML.

    Args:
        data_root: the value of `--data-root`, which stands for an assignment to data.root.

    Raises:
        ConfigError: an assignment does not name an option, its value is not YAML, or an option is given twice.
    """
    import yaml  # which strategies, that import how settings are written, do without

    from albench.yaml_loader import load_yaml

    settings: dict[str, object] = {}
    for assignment in assignments or []:
        name, equals, value = assignment.partition("=")
        if not equals or "." not in name:
            raise ConfigError(
                f"--set must name a section and an option, such as training.epochs=30, got '{assignment}': begin with "
                f"one of {', '.join(SECTIONS)}"
            )
        try:
            _add(settings, name.strip(), load_yaml(value))
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"--set {name} must have a YAML value such as 30 or [96,128], got '{value}' ({reason}): correct it, or "
                "quote it for the shell"
            ) from error
    if data_root is not None:
        _add(settings, "data.root", str(data_root))
    return settings


def _add(settings: dict[str, object], name: str, value: object) -> None:
    """Add a setting. Raises ConfigError if it is there already."""
    if name in settings:
        raise ConfigError(f"{name} must be set once, got {settings[name]!r} and {value!r}: leave one of them out")
    settings[name] = value


def by_section(settings: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """`{"training.epochs": 30}` to `{"training": {"epochs": 30}, ...}`, every section there. Raises ConfigError."""
    sections: dict[str, dict[str, object]] = {name: {} for name in SECTIONS}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        if section not in sections:
            raise ConfigError(f"a setting must begin with one of {', '.join(SECTIONS)}, got '{name}'")
        sections[section][key] = value
    return sections


def as_setting(value: object) -> str:
    """A value of an option as `--set` reads it, whole numbers without decimals."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_setting, value))}]"
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value, default=str)
