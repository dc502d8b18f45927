"""Where albench stores files that it can prepare or download again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from albench.errors import ConfigError


def cache_folder() -> Path:
    """`$ALBENCH_CACHE`, or the cache folder of the platform. Raises ConfigError if the variable is empty."""
    given = os.environ.get("ALBENCH_CACHE")
    if given is not None:
        if not given.strip():
            raise ConfigError("ALBENCH_CACHE must name a folder, it is empty: set it to one, or unset it")
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "albench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albench"


def downloads_folder() -> Path:
    """Where public archives are stored and unpacked, and where the datasets look for them."""
    return cache_folder() / "downloads"
