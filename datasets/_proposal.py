"""A list of the files of a dataset, as far as their names tell which belong together, for the user to complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import stem
from albench.datasets._layout import Layout, images_and_masks, masks_of
from albench.datasets._names import told_apart
from albench.datasets._pairing import paired, together
from albench.datasets._patients import by_bids, guessed
from albench.errors import DataError

Row = dict[str, str]


def rows_of(found: Layout) -> list[Row]:
    """A row for every case: its image or channels, its masks, and its patient, guessed where nothing tells it."""
    patients = found.patients or guessed(sorted(found.volumes))
    return [_row(files, patients.get(case, case)) for case, files in found.volumes.items()]


def left_masks(root: Path, found: Layout) -> list[Row]:
    """A row for every mask of a folder that belongs to no image."""
    if found.unpaired is not None:
        return _open_rows({}, {path.as_posix(): path for path in found.unpaired})
    _, masks = images_and_masks(root, [])
    known = {path for files in found.volumes.values() for path in files.paths}
    return _open_rows({}, {name: path for name, path in masks.items() if path not in known})


def proposed_rows(root: Path, image_patterns: Sequence[str] = (), mask_patterns: Sequence[str] = ()) -> list[Row]:
    """Rows for the files of a folder.

    Images and masks are paired by their names. If that leaves a doubt, all images of the folder or the session of a
    mask are its channels; other images and masks have a row each, with an empty cell to fill in.

    Args:
        image_patterns: which files are images, such as `pre/FLAIR.nii.gz`; of each case, one file of every pattern is a
            channel. Without any, all files that are no masks.
        mask_patterns: which files are masks, such as `wmh.nii.gz`; without any, those that names call so.

    Raises:
        DataError: a pattern matches no file.
    """
    images, masks = images_and_masks(root, [])
    files = images | masks
    if mask_patterns:
        masks = {name: path for pattern in mask_patterns for name, path in _matching(root, files, pattern).items()}
    others = {name: path for name, path in files.items() if name not in masks}
    images = {name: path for name, path in images.items() if name in others} or others
    if image_patterns:
        images = others
    channels = [_matching(root, images, pattern) for pattern in image_patterns] or [images]
    found = _paired_files(channels, masks)
    if found:
        images_of = [files.images[0] for files in found]
        names = told_apart([stem(path) for path in images_of], images_of)
        patients = by_bids(dict(zip(names, images_of, strict=True))) or guessed(names)
        return [_row(files, patients[name]) for name, files in zip(names, found, strict=True)]
    return _open_rows({name: path for channel in channels for name, path in channel.items()}, masks)


def _matching(root: Path, files: Mapping[str, Path], pattern: str) -> dict[str, Path]:
    found = {name: path for name, path in files.items() if path.relative_to(root).match(pattern)}
    if not found:
        raise DataError(
            f"a pattern must match files, '{pattern}' matches none of the {len(files)} below '{root}': write for "
            "example 'masks/*.nii.gz' or '*_seg.nii.gz'"
        )
    return found


def _paired_files(channels: Sequence[Mapping[str, Path]], masks: Mapping[str, Path]) -> list[Files]:
    """The files of the cases whose channels all have the same masks; none if one is not paired."""
    by_masks: list[dict[tuple[MaskFile, ...], Path]] = []
    for images in channels:
        found = paired(list(images), list(masks)) if images and masks else None
        if found is None:
            return []
        by_masks.append({masks_of(name, masks, found): images[name] for name in found.masks})
    if any(others.keys() != by_masks[0].keys() for others in by_masks):
        return []
    return [Files(tuple(images[of] for images in by_masks), of) for of in by_masks[0]]


def _open_rows(images: Mapping[str, Path], masks: Mapping[str, Path]) -> list[Row]:
    groups = together(list(images), list(masks))
    grouped = {image for group in groups.values() for image in group}
    found = [(_cell(images[image] for image in group), _cell([masks[mask]])) for mask, group in groups.items()]
    found += [(_cell([path]), "") for image, path in images.items() if image not in grouped]
    found += [("", _cell([path])) for mask, path in masks.items() if mask not in groups]
    return [{"image": image, "mask": mask, "patient": ""} for image, mask in found]


def _row(files: Files, patient: str) -> Row:
    masks = {
        "mask" if organ is None else f"mask:{organ}": _cell(mask.path for mask in files.masks if mask.organ == organ)
        for organ in dict.fromkeys(mask.organ for mask in files.masks)
    }
    return {"image": _cell(files.images)} | (masks or {"mask": ""}) | {"patient": patient}


def _cell(paths: Iterable[Path]) -> str:
    return ";".join(str(path.absolute()) for path in paths)
