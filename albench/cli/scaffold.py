"""`albench new`: a new plugin package from the templates."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal

import albench
from albench.errors import ConfigError
from albench.files import write_text
from albench.registry import KINDS, available

Kind = Literal["strategy", "dataset", "network"]

_GROUPS = {kind: group for group, kind in KINDS.items()}


def new_package(kind: Kind, name: str, parent: Path) -> list[Path]:
    """Write a small installable package with a strategy, a dataset or a network, its test and a README.

    Args:
        kind: of the plugin.
        name: of the plugin, for `--strategy`, `--dataset` or `--network`, and of the folder.
        parent: in which the folder is created.

    Returns:
        The files written.

    Raises:
        ConfigError: the name is malformed or taken, or the folder exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ConfigError(f"a name must be lower-case words joined by hyphens, got '{name}': try 'my-idea'")
    if name in [entry.name for entry in available(_GROUPS[kind])]:
        raise ConfigError(f"a {kind} name must be unique, '{name}' is taken: choose another name")
    if find_spec(name.replace("-", "_")) is not None:
        raise ConfigError(
            f"a name must differ from every installed package, '{name}' is installed: choose another name"
        )
    folder = parent / name
    if folder.exists():
        raise ConfigError(f"'{folder}' must not exist, it does: choose another name or folder")
    words = name.split("-")
    values = {
        "name": name,
        "module": "_".join(words),
        "cls": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
        "albench": albench.__version__,
    }
    written = []
    for template in sorted((files("albench") / "templates" / kind).iterdir(), key=lambda path: path.name):
        path = folder / template.name.removesuffix(".txt").replace("__module__", values["module"])
        write_text(path, Template(template.read_text()).substitute(values))
        written.append(path)
    return written
