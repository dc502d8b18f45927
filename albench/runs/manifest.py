"""The manifest of a suite, `suite.json`: which runs belong to it, and how tables name and group them."""

from __future__ import annotations

from pathlib import Path

from albench.runs.documents import read_document, write_document
from albench.runs.records import Manifest

MANIFEST = "suite.json"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a suite's folder; None if there is none.

    Raises:
        StoreError: it is damaged or of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    return read_document(Manifest, path, "start the suite again, or remove the file to report on all runs below it")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a suite into its folder. Raises StoreError."""
    write_document(folder / MANIFEST, manifest)
