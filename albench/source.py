"""The source of albench, as it is installed: a hash of it tells results of different code apart."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("albench", "albench.strategies", "albench.datasets", "albench.benchmarks", "albench.reports")


@cache
def own_source() -> str:
    """A hash of every Python file of albench, the same for a checkout and for its wheel; read once per process."""
    files: dict[str, Path] = {}
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files |= {_name(package, folder, path): path for path in Path(folder).rglob("*.py")}
    content = "".join(f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _name(package: str, folder: str, path: Path) -> str:
    """`albench/strategies/star.py`, wherever it lies."""
    return f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"
