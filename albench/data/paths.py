"""Where albench keeps files that it can make or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`$ALBENCH_CACHE`, or the platform's folder for caches."""
    if "ALBENCH_CACHE" in os.environ:
        return Path(os.environ["ALBENCH_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "albench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albench"


def downloads_folder() -> Path:
    """Where public archives are put and unpacked, and where the datasets look for them."""
    return cache_folder() / "downloads"
