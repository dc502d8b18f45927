"""The bundles that albench is installed with: those in `benchmarks/results`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from albench.bundles.reader import is_bundle


def published_results() -> dict[str, Path]:
    """{name: folder} of the results that albench is installed with, sorted."""
    spec = find_spec("albench.benchmarks")
    folders = [] if spec is None else [Path(place) / "results" for place in spec.submodule_search_locations or ()]
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()) if is_bundle(path)]
    return {path.name: path for path in found}


def with_published(folder: Path) -> Path:
    """A folder, or that of the published results of this name if there is no such folder."""
    return folder if folder.exists() else published_results().get(str(folder), folder)
