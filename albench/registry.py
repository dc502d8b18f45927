"""Strategies, datasets and networks by name: found in their folder, in entry points, or by import path."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from albench.errors import AlbenchError, ConfigError, suggestion
from albench.exits import rejecting_exits
from albench.files import is_file
from albench.neighbors import neighbors_of
from albench.plugin_source import SourceFile, former_plugin_source, plugin_files, plugin_source

STRATEGIES = "albench.strategies"
DATASETS = "albench.datasets"
NETWORKS = "albench.networks"
DEFAULT_NETWORK = "residual"
_PLUGIN = "albench_plugin_"  # prefix of modules that are loaded from a file
KINDS = {STRATEGIES: "strategy", DATASETS: "dataset", NETWORKS: "network"}
_BASES = {
    STRATEGIES: "albench.strategy.Strategy",
    DATASETS: "albench.data.Dataset",
    NETWORKS: "albench.network.Network",
}


class Plugin:
    """The base of `Strategy`, `Dataset` and `Network`. Without a name, a class has its own in lowercase."""

    group: ClassVar[str]
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = cls.__name__.lower()


T = TypeVar("T", bound=type[Plugin])
_registered: dict[str, dict[str, type[Plugin]]] = {group: {} for group in KINDS}


@dataclass(frozen=True)
class Entry:
    """A plugin that is available, or one that cannot be loaded.

    Attributes:
        name: of the strategy, dataset or network.
        cls: its class; None if it cannot be loaded.
        problem: why it cannot be loaded; empty otherwise.
    """

    name: str
    cls: type[Plugin] | None
    problem: str = ""


def register(name: str) -> Callable[[T], T]:
    """Class decorator: register a strategy, a dataset or a network under `name`.

    The class attribute `group`, set by `Strategy`, `Dataset` and `Network`, says which of them it is.

    Raises:
        ConfigError: the name is taken, or the class is abstract.
    """

    def add(cls: T) -> T:
        _check_complete(cls)
        if not cls.__module__.startswith(f"{cls.group}."):
            _import_folder(cls.group)  # so that a plugin cannot take a name of albench's own
        known = _registered[cls.group].get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f"a {KINDS[cls.group]} name must be unique, '{name}' is taken by "
                f"{known.__module__}.{known.__qualname__}: choose another name"
            )
        cls.name = name
        _registered[cls.group][name] = cls
        return cls

    return add


def find(group: str, spec: str) -> type[Any]:
    """The class with a registered name or an import path, `path/to/file.py:Class` or `package.module:Class`.

    Raises:
        ConfigError: it does not exist or cannot be imported.
    """
    if ":" in spec:
        return _from_path(group, spec)
    _import_quietly(f"{group}.{spec.replace('-', '_')}")
    if spec in _usable(group):
        return _registered[group][spec]
    entries = {entry.name: entry for entry in available(group)}
    kind = KINDS[group]
    if spec not in entries:
        hint = suggestion(spec, sorted(entries), cutoff=0.5)
        raise ConfigError(f"{kind} must be a known name or FILE.py:Class, got '{spec}': {hint}")
    cls = entries[spec].cls
    if cls is None:
        raise ConfigError(f"{kind} '{spec}' cannot be loaded: {entries[spec].problem}")
    return cls


def import_path(cls: type) -> str:
    """The import path of a class, with which `find` finds it in another process."""
    where = sys.modules[cls.__module__].__file__ if cls.__module__.startswith(_PLUGIN) else cls.__module__
    return f"{where}:{cls.__qualname__}"


def available(group: str) -> list[Entry]:
    """All plugins of a group, sorted by name. One that cannot be loaded is listed with the reason."""
    entries: dict[str, Entry] = {}
    for module, problem in _import_folder(group).items():
        if problem:
            name = module.replace("_", "-")
            entries[name] = Entry(name, None, problem)
    for point in importlib.metadata.entry_points(group=group):
        try:
            with rejecting_exits(f"'{point.value}'"):
                cls = point.load()
            _check_class(group, cls, point.value)
            if _registered[group].get(point.name) is not cls:
                register(point.name)(cls)
        except Exception as error:  # a broken plugin must not hide the others
            entries[point.name] = Entry(point.name, None, f"{type(error).__name__}: {error}")
    for name, cls in _usable(group).items():
        entries[name] = Entry(name, cls)
    return [entries[name] for name in sorted(entries)]


def source_digest(plugin: object) -> str | None:
    """A hash of the source of a plugin, and of the plugins among its options; None for albench's own.

    It is written with a run, so results of an edited plugin never mix unnoticed with those of its earlier version.
    Comments and formatting do not count (`albench.plugin_source`).

    Args:
        plugin: an object, or a class, whose options then do not count.
    """
    return _digest_of(plugin, plugin_source)


def former_source_digest(plugin: object) -> str | None:
    """The same as it was up to albench 0.4.0, when comments and formatting counted."""
    return _digest_of(plugin, former_plugin_source)


def _digest_of(plugin: object, source: Callable[[type], str | None]) -> str | None:
    digests = [source(cls) for cls in map(_class_of, plugins_in(plugin).values()) if not is_own(cls)]
    if len(digests) < 2:
        return digests[0] if digests else None
    return hashlib.sha256(" ".join(map(str, digests)).encode()).hexdigest()[:16]


def source_files(cls: type) -> dict[str, SourceFile]:
    """The files of the source of a plugin, see `albench.plugin_source`; none for albench's own classes."""
    return {} if is_own(cls) else plugin_files(cls)


def plugins_in(plugin: object, name: str = "") -> dict[str, object]:
    """{dotted name: plugin} of a plugin and of the plugins among its options, the outermost first.

    Args:
        name: of the outermost one, such as `strategy`; that among its options `inner` is `strategy.inner`.
    """
    found = {name: plugin}
    if not isinstance(plugin, type):
        for field in dataclasses.fields(plugin):  # type: ignore[arg-type]
            value = getattr(plugin, field.name)
            if isinstance(value, Plugin):
                found |= plugins_in(value, f"{name}.{field.name}".removeprefix("."))
    return found


def options_of(plugin: object) -> dict[str, object]:
    """The fields of a plugin or of other settings as JSON values; a plugin among them is its name and its options."""
    fields = dataclasses.fields(plugin)  # type: ignore[arg-type]
    return json.loads(json.dumps({field.name: _as_option(getattr(plugin, field.name)) for field in fields}))


def _as_option(value: object) -> object:
    return {"name": value.name, **options_of(value)} if isinstance(value, Plugin) else value


def _class_of(plugin: object) -> type:
    return plugin if isinstance(plugin, type) else type(plugin)


def has_siblings(cls: type[Plugin]) -> bool:
    """Whether the module of this class registers other names too."""
    return sum(other.__module__ == cls.__module__ for other in _registered[cls.group].values()) > 1


def is_own(cls: type) -> bool:
    """Whether a class is albench's own, not that of a plugin."""
    return cls.__module__.startswith("albench.")


def _usable(group: str) -> dict[str, type[Plugin]]:
    """The registered classes, without those of a file whose import failed after the registration."""
    return {name: cls for name, cls in _registered[group].items() if cls.__module__ in sys.modules}


def _from_path(group: str, spec: str) -> type[Plugin]:
    where, _, class_name = spec.rpartition(":")
    try:
        with rejecting_exits(f"'{where}'"):
            module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except AlbenchError:
        raise
    except Exception as error:
        raise ConfigError(f"'{where}' cannot be imported: {type(error).__name__}: {error}") from error
    cls = getattr(module, class_name, None)
    if cls is None:
        raise ConfigError(
            f"'{where}' must define the class named after the colon, it has no '{class_name}': check the name"
        )
    _check_class(group, cls, spec)
    return cls


def _load_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise ConfigError(f"a plugin file must exist, '{path}' does not: check the path before the colon")
    name = f"{_PLUGIN}{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}_{path.stem}"
    if name not in sys.modules:
        module_spec = importlib.util.spec_from_file_location(name, path)
        assert module_spec is not None
        assert module_spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(module_spec)
        try:
            with neighbors_of(path):
                module_spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _check_class(group: str, cls: object, spec: str) -> None:
    if not isinstance(cls, type) or getattr(cls, "group", None) != group:
        raise ConfigError(f"'{spec}' must be a subclass of {_BASES[group]}, got {cls!r}: derive it from that class")
    _check_complete(cls)


def _check_complete(cls: type) -> None:
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        names = ", ".join(missing)
        raise ConfigError(f"a plugin must define every abstract method, '{cls.__name__}' lacks {names}: define it")


def _import_folder(group: str) -> dict[str, str]:
    """Import every module of the folder. {name: why its import failed, or empty}."""
    modules = [module.name for module in pkgutil.iter_modules(importlib.import_module(group).__path__)]
    return {name: _import_quietly(f"{group}.{name}") for name in modules if not name.startswith("_")}


def _import_quietly(module: str) -> str:
    """Import a module of the folder. Why it failed; empty if it did not, or if there is no such module."""
    try:
        with rejecting_exits(f"'{module}'"):
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "" if error.name == module else f"it needs the missing module '{error.name}'"
    except Exception as error:  # a broken file must not hide the others
        return f"{type(error).__name__}: {error}"
    return ""
