"""The volumes of a project: images of a folder, masks of another with the same names, written down as a list."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from albench.errors import ConfigError, DataError, few
from albench.files import is_folder
from albench.spreadsheet import csv_text

_SUFFIXES = (".nii.gz", ".nii")
_CHANNEL = re.compile(r"_\d{4}$")  # as nnU-Net numbers the channels of a case


@dataclass(frozen=True)
class Volumes:
    """The files of a project.

    Attributes:
        images: of each case, by name, one for each channel.
        masks: of the cases that have one.
    """

    images: Mapping[str, tuple[Path, ...]]
    masks: Mapping[str, Path]

    def listing(self, folder: Path) -> str:
        """The text of the list that dataset `folder` reads, with paths relative to the folder of the list."""
        rows = [["image", "mask", "patient", "unlabeled"]]
        for case, images in self.images.items():
            places = [os.path.relpath(path.resolve(), folder.resolve()) for path in images]
            mask = self.masks.get(case)
            place = os.path.relpath(mask.resolve(), folder.resolve()) if mask else ""
            rows.append([";".join(places), place, case, "pool"])
        return csv_text(rows)

    def check_masks(self, cases: Sequence[str], option: str) -> None:
        """Check that cases for evaluation exist and have masks. Raises ConfigError."""
        for case in cases:
            if case not in self.images:
                raise ConfigError(
                    f"{option} must name volumes of the project, '{case}' is none of {few(list(self.images))}: "
                    "correct it"
                )
            if case not in self.masks:
                raise ConfigError(
                    f"{option} must name volumes with a mask, '{case}' has none among the labels: add it, or leave the "
                    "volume out"
                )


def find_volumes(images: Path, labels: Path | None = None) -> Volumes:
    """The NIfTI volumes of a folder, and the masks of the same name in another one.

    Files `NAME_0000`, `NAME_0001`, ... are the channels of NAME.

    Raises:
        DataError: a folder does not exist or has no NIfTI files, or a mask is of no image.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for path in _files(images, "--images"):
        name = _CHANNEL.sub("", _stem(path))
        found[name] = (*found.get(name, ()), path)
    masks = {_stem(path): path for path in _files(labels, "--labels")} if labels is not None else {}
    for name, path in masks.items():
        if name not in found:
            raise DataError(
                f"a mask must have the name of its image, '{path}' has none in '{images}', which holds "
                f"{few(list(found))}: rename or remove it"
            )
    return Volumes(found, masks)


def _files(folder: Path, option: str) -> list[Path]:
    if not is_folder(folder):
        raise DataError(f"{option} must be an existing folder, '{folder}' is none: correct it")
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and not path.name.startswith("."))
    if not files:
        raise DataError(f"{option} must hold NIfTI files, '{folder}' has none that end in .nii or .nii.gz: correct it")
    return files


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
