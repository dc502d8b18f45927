"""The public names of albench, read from its source without importing it, and those that have no docstring."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import griffe

PRIVATE = "_"


def assemble(repository: Path, folder: Path) -> None:
    """Put the packages of the checkout together as they are installed, by links, so that readers of source find them.

    Args:
        repository: the checkout.
        folder: it gets `albench/`; what was there is replaced.
    """
    setup = ConfigParser()
    setup.read(repository / "setup.cfg")
    places = dict(line.replace(" ", "").split("=") for line in setup["options"]["package_dir"].strip().splitlines())
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "albench"
    root.mkdir(parents=True)
    for path in (repository / "albench").iterdir():
        (root / path.name).symlink_to(path.resolve())
    for package, place in places.items():
        _, *below = package.split(".")
        if len(below) == 1 and not (root / below[0]).exists():
            (root / below[0]).symlink_to((repository / place).resolve())


def load(folder: Path) -> griffe.Module:
    """The module `albench` below a folder, with all modules in it."""
    module = griffe.load("albench", search_paths=[folder], try_relative_path=False, docstring_parser="google")
    assert isinstance(module, griffe.Module)
    return module


def public(module: griffe.Module) -> Iterator[griffe.Object]:
    """A module and all that is public in it, as deep as it goes, each where it is defined."""
    yield module
    for member in module.members.values():
        if member.is_alias or member.name.startswith(PRIVATE):
            continue
        if isinstance(member, griffe.Module):
            yield from public(member)
        elif isinstance(member, griffe.Class):
            yield member
            yield from (
                part for part in member.members.values() if _is_public_part(part) and isinstance(part, griffe.Object)
            )
        elif isinstance(member, griffe.Object):
            yield member


def _is_public_part(part: griffe.Object | griffe.Alias) -> bool:
    return not part.is_alias and not part.name.startswith(PRIVATE)


def undocumented(module: griffe.Module) -> list[str]:
    """Public modules, classes, functions, methods and properties without a docstring, sorted.

    What overrides a documented method of a class of albench has its docstring.
    """
    found = [item for item in public(module) if not item.has_docstring and not _is_value(item)]
    return sorted(item.path for item in found if not _overrides_documented(item))


def _is_value(item: griffe.Object) -> bool:
    """Whether it is a field or a constant, which the docstring above it explains."""
    return item.is_attribute and "property" not in item.labels


def _overrides_documented(item: griffe.Object) -> bool:
    above = item.parent
    if not isinstance(above, griffe.Class):
        return False
    bases = (base.members.get(item.name) for base in above.mro())
    return any(base is not None and not base.is_alias and base.has_docstring for base in bases)


def rooms(module: griffe.Module) -> dict[str, list[str]]:
    """{package: its public modules}, both by dotted names, the packages in the order of their names."""
    found: dict[str, list[str]] = {}
    for item in public(module):
        if isinstance(item, griffe.Module):
            package = item if item.is_init_module else item.parent
            assert package is not None
            found.setdefault(package.path, [])
            if not item.is_init_module and item.name != "__main__":
                found[package.path].append(item.path)
    return {package: sorted(found[package]) for package in sorted(found)}


def addresses(module: griffe.Module) -> dict[str, str]:
    """{dotted name: the name under which the site explains it}, also of names that a package hands on."""
    shown = {item.path for item in public(module) if item.has_docstring}
    found = {path: path for path in shown}
    packages = [item for item in public(module) if isinstance(item, griffe.Module) and item.is_init_module]
    for package in packages:
        for name, member in package.members.items():
            if isinstance(member, griffe.Alias) and member.target_path in shown:
                below = [path for path in shown if f"{path}.".startswith(f"{member.target_path}.")]
                found |= {f"{package.path}.{name}{path.removeprefix(member.target_path)}": path for path in below}
    return found
