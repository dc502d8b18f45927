"""Imports of modules that lie beside a plugin: in this process, in workers and on every node alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from albench.errors import ConfigError

_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES)  # in the order of Python


@contextmanager
def neighbors_of(plugin: Path) -> Iterator[None]:
    """Let modules beside a plugin be imported, from now on if the block ends without an error.

    Everything that is installed comes first. `sys.path` remains as it is, because other processes inherit it.

    Raises:
        ConfigError: a module that was found beside another plugin has the name of one beside this plugin.
    """
    folder = plugin.resolve().parent
    known = folder in _finder.folders
    if not known:
        _finder.add(folder)
    try:
        yield
    except BaseException:
        if not known:
            _finder.folders.remove(folder)
        raise


class _Finder(MetaPathFinder):
    """Finds a module or a package with an `__init__.py` in the folders of plugins."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self._found: dict[str, Path] = {}

    def add(self, folder: Path) -> None:
        for name, earlier in self._found.items():
            if name in sys.modules and _spec(name, folder):
                _reject(name, earlier, folder)
        self.folders.append(folder)
        if self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module with this name beside a plugin, unless it belongs to a package, which finds it by itself."""
        if path is not None or not fullname.isidentifier():  # a path is no name: matplotlib tries those of styles
            return None
        found = [(folder, spec) for folder in self.folders if (spec := _spec(fullname, folder))]
        if not found:
            return None
        if len(found) > 1:
            _reject(fullname, found[0][0], found[1][0])
        self._found[fullname], spec = found[0]
        return spec


_finder = _Finder()


def _spec(name: str, folder: Path) -> ModuleSpec | None:
    """None also for a folder without an `__init__.py`, which may be anything, as the logs of a library of its name.

    The folder is not listed, because an audited query may not do so (`albench.audit.hiding`).
    """
    files = [folder / name / "__init__.py", *(folder / f"{name}{suffix}" for suffix in _SUFFIXES)]
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else spec_from_file_location(name, file)


def _reject(name: str, one: Path, other: Path) -> None:
    raise ConfigError(
        f"modules beside plugins must have different names, '{name}' is in '{one}' and in '{other}': rename one of them"
    )
