"""A list of the files of a dataset, as far as their names tell which belong together, for the user to complete."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from albench.datasets._files import Files
from albench.datasets._layout import Layout, images_and_masks
from albench.datasets._pairing import together
from albench.datasets._patients import guessed


def rows_of(found: Layout) -> list[dict[str, str]]:
    """A row for every case: its image or channels, its masks, and its patient, guessed where nothing tells it."""
    patients = found.patients or guessed(sorted(found.volumes))
    return [_row(files, patients.get(case, case)) for case, files in found.volumes.items()]


def proposed_rows(root: Path) -> list[dict[str, str]]:
    """Rows for the files of a folder that cannot be paired.

    All images of the folder or the session of a mask are its channels; other images and masks have a row each, with an
    empty cell to fill in.
    """
    images, masks = images_and_masks(root, [])
    groups = together(list(images), list(masks))
    paired = {image for group in groups.values() for image in group}
    found = [(_cell(images[image] for image in group), _cell([masks[mask]])) for mask, group in groups.items()]
    found += [(_cell([path]), "") for image, path in images.items() if image not in paired]
    found += [("", _cell([path])) for mask, path in masks.items() if mask not in groups]
    return [{"image": image, "mask": mask, "patient": ""} for image, mask in found]


def _row(files: Files, patient: str) -> dict[str, str]:
    masks = {
        "mask" if organ is None else f"mask:{organ}": _cell(mask.path for mask in files.masks if mask.organ == organ)
        for organ in dict.fromkeys(mask.organ for mask in files.masks)
    }
    return {"image": _cell(files.images)} | (masks or {"mask": ""}) | {"patient": patient}


def _cell(paths: Iterable[Path]) -> str:
    return ";".join(str(path.absolute()) for path in paths)
