"""The source of a plugin: the file of its class, and every module that this imports apart from what is installed."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path

_LIBRARY = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class SourceFile:
    """A file of a plugin's source.

    Attributes:
        path: where it lies.
        digest: SHA-256 of its syntax tree, which comments and formatting are no part of; of its content if it is not
            Python.
        text: SHA-256 of its content, which `digest` was up to albench 0.4.0.
    """

    path: Path
    digest: str
    text: str

    @classmethod
    def of(cls, path: Path) -> SourceFile:
        """The file at a path."""
        content = path.read_bytes()
        text = hashlib.sha256(content).hexdigest()
        tree = _parsed(content) if path.suffix == ".py" else None
        if tree is None:
            return cls(path, text, text)
        return cls(path, hashlib.sha256("".join(_syntax(tree)).encode()).hexdigest(), text)


PluginFiles = Mapping[str, Mapping[str, SourceFile]]
"""{strategy or network: the files of its source}, for those of a run that are plugins."""


def plugin_files(cls: type) -> dict[str, SourceFile]:
    """The modules that define a class and its bases, and all that they import; empty if the class has no file.

    The file of the class comes first, by its file name, and the others by the names of their modules, so that names do
    not depend on where the files lie. albench, the standard library and installed packages are left out; their versions
    are stored with a run. Imports are read from the source, those inside of functions too, and nothing is imported. A
    module that a plugin loads by other means is not found.
    """
    own = _file_of(cls.__module__)
    if own is None:
        return {}
    found: dict[str, Path] = {}
    for name in dict.fromkeys(base.__module__ for base in cls.__mro__):
        _collect(name, found)
    paths = {own.name: own} | {name: found[name] for name in sorted(found) if found[name] != own}
    return {name: SourceFile.of(path) for name, path in paths.items()}


def plugin_source(cls: type) -> str | None:
    """A hash of the syntax of `plugin_files`, for a single file its digest; None without files."""
    files = plugin_files(cls)
    if not files:
        return None
    (_, own), *others = files.items()
    content = "".join(f"\n{name} {file.digest}" for name, file in others)
    return (hashlib.sha256(f"{own.digest}{content}".encode()).hexdigest() if others else own.digest)[:16]


def former_plugin_source(cls: type) -> str | None:
    """The same as it was up to albench 0.4.0: a hash of the content of `plugin_files`."""
    files = plugin_files(cls)
    if not files:
        return None
    (_, own), *others = files.items()
    content = own.path.read_bytes() + "".join(f"\n{name} {file.text}" for name, file in others).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _collect(name: str, found: dict[str, Path]) -> None:
    """Add a module, if it is not installed, and what it imports. A plugin itself counts wherever it lies."""
    path = _file_of(name)
    if path is None or name in found or _is_installed(name, path):
        return
    found[name] = path
    if path.suffix == ".py":
        for other in _imports(name, path):
            _collect(other, found)


def _is_installed(name: str, path: Path) -> bool:
    inside = any(folder in path.parents for folder in _LIBRARY)
    return name.partition(".")[0] == "albench" or inside or not _INSTALLED.isdisjoint(path.parts)


def _imports(name: str, path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, with the packages in which they lie, and of what may be modules."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree = _parsed(path.read_bytes())
    if tree is None:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield from _with_packages(source)
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _parsed(content: bytes) -> ast.Module | None:
    """The syntax tree of a module; None of what is no Python, of a module that a plugin can do without."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):  # ValueError: null bytes
        return None


def _syntax(tree: ast.Module) -> Iterator[str]:
    """Every node with the names of its fields, every list with its length, and every value: equal for equal trees only.

    It does not depend on the version of Python, as `ast.dump` does.
    """
    left: list[object] = [tree]
    while left:
        part = left.pop()
        if isinstance(part, ast.AST):
            fields = _fields(part)
            yield f"{type(part).__name__}({','.join(fields)})\n"
            left += reversed(fields.values())
        elif isinstance(part, list):
            yield f"{len(part)}\n"
            left += reversed(part)
        else:
            yield f"{part!a}\n"


def _fields(node: ast.AST) -> dict[str, object]:
    """The fields of a node that are not empty, because versions of Python add others.

    Left out are the u of u"text", and the empty texts that Python 3.12 finds in f-strings.
    """
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.JoinedStr):
        fields["values"] = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    return {name: value for name, value in fields.items() if name != "kind" and value is not None and value != []}


def _with_packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _file_of(name: str) -> Path | None:
    """The file of a module, whether or not it is imported; None for one that has none, and for what is no module."""
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file).resolve() if file else None
    spec, folders = None, None
    for part in _with_packages(name):
        if spec is not None and folders is None:
            return None  # inside of a module that is no package
        spec = _spec(part, folders)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
    return Path(spec.origin).resolve() if spec and spec.origin and spec.has_location else None


def _spec(name: str, folders: Sequence[str] | None) -> ModuleSpec | None:
    """Where a module would be imported from, in the folders of its package; the package is not imported for that."""
    found = (finder.find_spec(name, folders) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)
