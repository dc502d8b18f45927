"""Published results, each loaded once in a process."""

from __future__ import annotations

from functools import cache
from typing import Any

from albench.reports import Results, load


def published(name: str, **options: Any) -> Results:
    """The results of a bundle, with options of `load`. They are shared, so no test may change them."""
    return _loaded(name, tuple(sorted(options.items())))


@cache
def _loaded(name: str, options: tuple[tuple[str, Any], ...]) -> Results:
    return load(name, **dict(options))
