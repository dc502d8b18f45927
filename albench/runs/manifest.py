"""The manifest of a suite, `suite.json`: which runs belong to it, and how tables name and group them."""

from __future__ import annotations

import json
from pathlib import Path

from albench.errors import StoreError
from albench.runs.store import Record

MANIFEST = "suite.json"
FORMAT = 1


def read_manifest(folder: Path) -> Record | None:
    """The manifest of a suite's folder; None if there is none.

    Keys: name, digest, albench and runs, each with label, group, strategy, dataset, seed and folder.

    Raises:
        StoreError: it is damaged or of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest: Record = json.loads(path.read_text())
        sound = manifest["format"] == FORMAT and _are_texts(manifest, "name", "digest")
        for run in manifest["runs"]:
            sound = sound and _are_texts(run, "label", "group", "folder") and isinstance(run["seed"], int)
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise StoreError(
            f"'{path}' must be a suite's plan of format {FORMAT}, it is not: start the suite again, or remove the file "
            "to report on all runs below it"
        )
    return manifest


def _are_texts(record: Record, *keys: str) -> bool:
    return all(isinstance(record[key], str) for key in keys)
