"""The source of albench, as it is installed: a hash of it tells results of different code apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("albench", "albench.strategies", "albench.datasets", "albench.benchmarks", "albench.reports")


@cache
def own_source() -> str:
    """A hash of every Python file of albench, the same for a checkout and for its wheel; read once per process."""
    specs = {package: find_spec(package) for package in _PACKAGES}
    return source_of(
        {name: list(map(Path, spec.submodule_search_locations or ())) for name, spec in specs.items() if spec}
    )


def source_of(packages: Mapping[str, Sequence[Path]]) -> str:
    """A hash of the names and contents of the Python files of packages, from the folders of each."""
    files = {
        f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}": path
        for package, folders in packages.items()
        for folder in folders
        for path in folder.rglob("*.py")
    }
    content = "".join(f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(content.encode()).hexdigest()[:16]
