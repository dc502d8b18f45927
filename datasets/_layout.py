"""The pairs of image and mask in a folder: by dataset.json, by the names of nnU-Net, or by equal names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from albench.data import Problem
from albench.datasets._formats import exists, has_suffix, no_format, stem, walk
from albench.datasets._labels import Values, declared_values
from albench.datasets._modality import channel_names
from albench.datasets._names import told_apart
from albench.datasets._nifti import Files
from albench.errors import DataError
from albench.files import is_folder

FOLDERS = (("imagesTr", "labelsTr"), ("images", "masks"))
_OTHER_FORMATS = (".img", ".hdr", ".mgz", ".mgh", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Layout:
    """The files of a dataset.

    Attributes:
        volumes: files by case, sorted by name; the mask of an image without one is None.
        patients: by case, where a listing names them.
        labels: values by name, as dataset.json declares them; empty without it.
        modalities: number of channels of an image, as declared.
        channel_names: as dataset.json declares them; empty without it.
        test_images: number of images of an official test set without labels.
        options: options of the dataset that a listing sets.
        listings: the files, besides images and masks, that decide what is read.
        masks_folder: name of the folder where masks are looked for; empty if there is not one for all.
        problems: of the folder or the listing.
    """

    volumes: Mapping[str, Files]
    patients: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Values] = field(default_factory=dict)
    modalities: int = 1
    channel_names: tuple[str, ...] = ()
    test_images: int = 0
    options: Mapping[str, object] = field(default_factory=dict)
    listings: tuple[Path, ...] = ()
    masks_folder: str = ""
    problems: tuple[Problem, ...] = ()

    def with_masks(self) -> Layout:
        """The layout in which an image without mask is a problem instead of a case."""
        where = f" in {self.masks_folder}/" if self.masks_folder else ""
        problems = [
            Problem(
                str(files.images[0]),
                f"every image must have a mask, '{files.images[0]}' has none{where}: add it or remove the image, or "
                "set data.unlabeled=pool to use it without labels",
            )
            for files in self.volumes.values()
            if files.mask is None
        ]
        volumes = {case: files for case, files in self.volumes.items() if files.mask is not None}
        return replace(self, volumes=volumes, problems=(*self.problems, *problems))

    def all_channels(self) -> tuple[int, ...] | None:
        """The channels to read: all that are declared, or None for images without channels."""
        return tuple(range(self.modalities)) if self.modalities > 1 else None

    def checked(self) -> Layout:
        """The layout itself. Raises DataError for the first serious problem."""
        for problem in self.problems:
            if problem.serious:
                raise DataError(problem.sentence)
        return self


def read_folder(root: Path) -> Layout:
    """Pair the images and masks of a folder. Raises DataError if it does not exist."""
    if not is_folder(root):
        raise DataError(f"data.root must be an existing folder, '{root}' is not: set it with --data-root")
    problems: list[Problem] = []
    images_name, masks_name = next((names for names in FOLDERS if (root / names[0]).is_dir()), FOLDERS[0])
    images, masks = (_by_stem(root / name, problems) for name in (images_name, masks_name))
    listing = root / "dataset.json"
    content = _content(listing, problems)
    volumes: dict[str, Files]
    if "training" in content:
        listed = _listed(root, content["training"], problems)
        volumes = _by_case([stem(files.images[0]) for files in listed], listed, root / images_name, problems)
        known = {path.resolve() for files in volumes.values() for path in files.images}
        problems += [
            Problem(str(path), f"'{path}' should be listed in dataset.json, it is not and is left out: add it", False)
            for path in images.values()
            if path.resolve() not in known
        ]
    else:
        paired = _by_name(images, masks, problems)
        names = [PurePosixPath(name).name for name in paired]
        volumes = _by_case(names, list(paired.values()), root / images_name, problems)
    if not images and not volumes:
        pairs = " or ".join(f"{image}/ with {mask}/" for image, mask in FOLDERS)
        sentence = f"'{root}' must hold images in imagesTr/ and masks in labelsTr/, found none: check the path"
        problems.insert(0, Problem(str(root), f"{sentence} ({pairs})"))
    elif not volumes and not any(problem.serious for problem in problems):
        problems.append(_bad_listing(listing))
    test = content.get("test", [])
    return Layout(
        volumes=dict(sorted(volumes.items())),
        labels=declared_values(content.get("labels")),
        modalities=_modalities(content),
        channel_names=channel_names(content),
        test_images=len(test) if isinstance(test, list) else 0,
        listings=(listing,) if listing.exists() else (),
        masks_folder=masks_name,
        problems=tuple(problems),
    )


def missing(files: Files, listing: str) -> list[Problem]:
    """A problem for every listed file that does not exist; `listing` is the name of the list."""
    return [
        Problem(str(path), f"'{path}' must exist, {listing} lists it: add the file or remove the line")
        for path in files.paths
        if not exists(path)
    ]


def _by_stem(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Images in a folder at any depth, by their path in it without suffix."""
    found: dict[str, Path] = {}
    for path in walk(folder):
        place = path.relative_to(folder)
        if has_suffix(path) or is_folder(path):
            name = place.with_name(stem(path)).as_posix()
            if name in found:
                sentence = f"a volume must be stored once, '{path}' is stored as '{found[name].name}' too: remove one"
                problems.append(Problem(str(path), sentence))
            found[name] = path
        elif path.parent == folder and path.suffix.lower() in _OTHER_FORMATS:
            problems.append(Problem(str(path), no_format(path)))
    return found


def _by_name(images: Mapping[str, Path], masks: Mapping[str, Path], problems: list[Problem]) -> dict[str, Files]:
    """Pair equal paths; as in nnU-Net, `case_0000` and `case_0001` are the channels of `case`.

    An image without mask is named as those with masks are.
    """
    without_number = {name: re.sub(r"_\d{4}$", "", name) for name in images}
    numbered = any(name not in masks and short in masks for name, short in without_number.items())
    volumes: dict[str, Files] = {}
    for name, path in images.items():
        case = without_number[name] if numbered and name not in masks else name
        before = volumes[case].images if case in volumes else ()
        volumes[case] = Files((*before, path), masks.get(case))
    problems += [
        Problem(str(path), f"every mask must have an image, '{path}' has none: add it or remove the mask")
        for case, path in masks.items()
        if case not in volumes
    ]
    return volumes


def _listed(root: Path, entries: object, problems: list[Problem]) -> list[Files]:
    try:
        listed = [
            Files((root / entry["image"],), root / entry["label"] if entry.get("label") else None)
            for entry in entries  # type: ignore[attr-defined]
        ]
    except (KeyError, TypeError, AttributeError):
        problems.append(_bad_listing(root / "dataset.json"))
        return []
    for files in listed:
        problems += missing(files, "dataset.json")
    return [files for files in listed if all(exists(path) for path in files.paths)]


def _by_case(names: Sequence[str], listed: Sequence[Files], folder: Path, problems: list[Problem]) -> dict[str, Files]:
    """The files of volumes by case; the names are told apart by the folders of their images, as seen from `folder`."""
    images = [files.images[0] for files in listed]
    places = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in images]
    volumes: dict[str, Files] = {}
    for case, files in zip(told_apart(names, places), listed, strict=True):
        if case in volumes:
            path = files.images[0]
            sentence = f"two volumes must have different names, '{path}' and another one would be case '{case}': "
            problems.append(Problem(str(path), f"{sentence}rename it, or list it once"))
        volumes[case] = files
    return volumes


def _content(listing: Path, problems: list[Problem]) -> dict[str, object]:
    if not listing.exists():
        return {}
    try:
        content = json.loads(listing.read_text())
        if isinstance(content, dict) and ("training" in content or "file_ending" in content):
            return content
    except ValueError:
        pass
    problems.append(_bad_listing(listing))
    return {}


def _bad_listing(listing: Path) -> Problem:
    return Problem(
        str(listing),
        f'\'{listing}\' must list cases under "training", each with "image" and "label": correct or remove it',
    )


def _modalities(content: Mapping[str, object]) -> int:
    """Number of channels that the dataset.json of the Decathlon declares; in nnU-Net, each channel is a file."""
    names = content.get("modality")
    return max(1, len(names)) if isinstance(names, dict) else 1
