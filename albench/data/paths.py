"""Where albench stores files that it can prepare or download again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`$ALBENCH_CACHE`, or the cache folder of the platform."""
    if "ALBENCH_CACHE" in os.environ:
        return Path(os.environ["ALBENCH_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "albench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albench"


def downloads_folder() -> Path:
    """Where public archives are stored and unpacked, and where the datasets look for them."""
    return cache_folder() / "downloads"
