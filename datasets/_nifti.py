"""Reading one volume from its files: brought to one orientation, cut along an axis, its mask made a label map.

`examine` returns all problems, `load` raises the first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from albench.data import (
    Axis,
    CaseSummary,
    FileFacts,
    FileGrid,
    Intensities,
    Problem,
    StoredLabels,
    Volume,
    agreement,
    check_case,
    check_memory,
    combined_raters,
    image_digest,
    most_frequent,
    oriented,
    pooled,
    set_problems,
    value_counts,
)
from albench.datasets._combining import ONE_MASK, Combining, combined_organs
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import Arrays, StoredImage, exists, open_image, open_part, placed
from albench.datasets._labels import Labels
from albench.datasets._mask_values import label_values
from albench.datasets._slice_axis import Grid
from albench.errors import DataError
from albench.masks import UNKNOWN, foreground

_ONE_IMAGE = 3  # dimensions of an image without channels
_FLAT = 1e-6  # volume of a voxel, as a part of the product of its sides, below which directions are not independent


@dataclass(frozen=True)
class Reading:
    """How files become a volume.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial).
        labels: what the values of a mask mean.
        channels: indices of the channels of an image to read; None reads all components of a vector or a color, and
            rejects other 4D images.
        same_grid: whether the headers of the mask and of further channels must give the grid of the first image.
        arrays: axes and voxel size of arrays in HDF5.
        combining: how several masks become one.
    """

    axis: Axis
    labels: Labels
    channels: tuple[int, ...] | None = None
    same_grid: bool = True
    arrays: Arrays = field(default_factory=Arrays)
    combining: Combining = ONE_MASK


def load(files: Files, reading: Reading) -> Volume:
    """Read one volume. Raises DataError for the first problem."""
    volume, problems = examine(files, reading)
    if problems:
        raise DataError(problems[0].sentence)
    assert volume is not None
    return volume


def examine(files: Files, reading: Reading) -> tuple[Volume | None, list[Problem]]:
    """Read one volume and collect its problems; the volume is None if a part of it cannot be read."""
    problems: list[Problem] = []
    images, channels, masks, labels = [], [], [], None
    agreeing: dict[str, float] = {}
    values: dict[str | None, Counter[int]] = {}
    for path in files.images:
        with _collected(problems, path):
            images.append(_open(path, reading.channels, reading.arrays))
    for file in files.masks:
        with _collected(problems, file.path):
            mask = _open_mask(file, reading, images)
            made, counts = _read_mask(file.path, mask, reading.labels.of(file.organ), problems)
            masks.append(made)
            values.setdefault(file.organ, Counter()).update(counts)
            if len(images) == len(files.images):
                _check_grid(file.path, images[0], mask, reading.same_grid, _MASK)
    if len(images) < len(files.images):
        return None, problems
    if not files.masks:
        labels = np.full(images[0].shape[:3], UNKNOWN, dtype=np.uint8)
    elif len(masks) == len(files.masks) and len({mask.shape for mask in masks}) == 1:
        with _collected(problems, files.images[0]):
            by_organ = _by_organ(files, masks)
            agreeing = agreement([*by_organ.values()])
            labels = _combined(files, by_organ, reading)
    for path, image in zip(files.images, images, strict=True):
        with _collected(problems, path):
            _check_grid(path, images[0], image, reading.same_grid, _CHANNEL)
            for channel in _read_image(image, reading.channels):
                channels.append(oriented(channel, images[0].affine, reading.axis)[0])
    if labels is None or labels.shape != images[0].shape[:3] or len({channel.shape for channel in channels}) != 1:
        return None, problems
    turned, spacing = oriented(labels, images[0].affine, reading.axis)
    reading.labels.hide_empty_slices(turned)
    facts = FileFacts(
        "".join(nib.aff2axcodes(images[0].affine)),
        most_frequent(values.pop(None, {})),
        {organ: most_frequent(counts) for organ, counts in values.items() if organ is not None},
        agreeing,
    )
    return Volume(channels[0][None] if len(channels) == 1 else np.stack(channels), turned, spacing, facts), problems


def values_of(files: Files, reading: Reading) -> dict[int, int]:
    """Voxels of every value of the masks of a volume, ascending, but those of one organ each.

    Raises:
        DataError: a mask cannot be read.
    """
    values: Counter[int] = Counter()
    for mask in files.masks:
        if mask.organ is None:
            values.update(value_counts(_mask_values(mask.path, _open_mask(mask, reading, []))))
    return dict(sorted(values.items()))


def inspect(
    title: str,
    volumes: Mapping[str, Files],
    reading: Reading,
    *,
    size: tuple[int, int] | None,
    intensities: Intensities,
    facts: dict[str, FileFacts],
) -> Iterator[Problem]:
    """Every problem of every volume and of all together. One volume is in memory at a time.

    Args:
        title: of the dataset.
        size: as in `Dataset`, as are `intensities`.
        facts: filled with what is known of every volume with good masks.
    """
    seen: dict[str, str] = {}
    summaries = []
    for name, files in volumes.items():
        volume, problems = examine(files, reading)
        yield from problems
        if volume is None:
            continue
        if volume.facts and not problems:
            facts[name] = volume.facts
        image = str(files.images[0])
        names = reading.labels.names
        clipped, broken = None, list[Problem]()
        with _collected(broken, files.images[0]):
            clipped = check_case(volume, name, names, intensities)
        yield from broken
        if not problems and files.masks and not foreground(volume.mask).any():
            mask = files.masks[0].path
            sentence = f"a mask should have foreground, '{mask}' has none: check its labels"
            yield Problem(str(mask), sentence, False)
        content = image_digest(volume)
        if content in seen:
            sentence = f"an image should occur once, '{image}' equals that of '{seen[content]}': remove one"
            yield Problem(image, sentence, False)
        seen.setdefault(content, name)
        summaries.append(CaseSummary.of(volume, name, image, size, len(names), clipped))
    sentence = reading.labels.question(title, pooled(of.values for of in facts.values()))
    if sentence:
        yield Problem(title, sentence)
    if summaries:
        yield from set_problems(title, reading.labels.names, summaries, size=size, intensities=intensities)


def grid_of(path: Path, channels: tuple[int, ...] | None, arrays: Arrays) -> Grid:
    """The voxels of a volume, from the header of its image; `channels` and `arrays` as in `Reading`."""
    image = _open(path, channels, arrays)
    empty = np.broadcast_to(np.float32(0), image.shape[:3])
    turned, (dz, dy, dx) = oriented(empty, image.affine, "axial", copy=False)
    depth, height, width = turned.shape
    return Grid((width, height, depth), (dx, dy, dz))


def file_grid(path: Path, channels: tuple[int, ...] | None, arrays: Arrays, axis: Axis) -> FileGrid:
    """The voxels of a volume as the file of its image has them, cut along `axis`; others as in `grid_of`."""
    image = _open(path, channels, arrays)
    i, j, k = image.shape[:3]
    return FileGrid(path, (i, j, k), image.affine, axis)


def read_labels(path: Path, arrays: Arrays) -> StoredLabels:
    """The labels in a file that somebody has drawn.

    Raises:
        DataError: it cannot be read, or its values are not labels.
    """
    if not exists(path):
        raise DataError(f"'{path}' must exist to be read, it does not: name a file with labels")
    image = _open_labels(path, arrays)
    return StoredLabels(_mask_values(path, image), image.affine, image.partial)


def _open(path: Path, channels: tuple[int, ...] | None, arrays: Arrays) -> StoredImage:
    """The header of an image with the channels that are to be read."""
    image = _usable(path, open_image(path, arrays))
    count = (*image.shape, 1)[_ONE_IMAGE]
    if count != 1 and not (image.vector or channels):
        raise DataError(
            f"'{path}' must be a 3D volume, it has shape {image.shape}: remove it or save one volume per file, or "
            "choose the channels of an image with data.channels"
        )
    if channels and not 0 <= min(channels) <= max(channels) < count:
        raise DataError(
            f"'{path}' must have the channels {list(channels)} of data.channels, it has {count}: choose from 0 to "
            f"{count - 1}"
        )
    return image


def _open_mask(file: MaskFile, reading: Reading, images: Sequence[StoredImage]) -> StoredImage:
    """The header of a mask, on the grid of the first image if a part of that is stored."""
    path, arrays, grid = file.path, reading.arrays, next(iter(images), None)
    if file.organ is None:
        mask = _open_labels(path, arrays)
    else:
        mask = _of_labels(path, open_part(path, file.organ, grid, arrays, same_series=reading.same_grid))
    return placed(mask, grid) if grid else mask


def _open_labels(path: Path, arrays: Arrays) -> StoredImage:
    return _of_labels(path, open_image(path, arrays))


def _of_labels(path: Path, mask: StoredImage) -> StoredImage:
    """An image that may be a mask."""
    if _usable(path, mask).color:
        raise DataError(f"a mask must have one number per voxel, '{path}' has colors: save labels")
    return mask


def _usable(path: Path, image: StoredImage) -> StoredImage:
    """An image whose voxels fit into memory and lie somewhere."""
    shape = image.shape
    if min(shape) < 1:
        raise DataError(f"'{path}' must have voxels, its header says shape {shape}: repair the header or leave it out")
    check_memory(
        np.dtype(np.float32).itemsize * math.prod(shape),
        f"'{path}', of shape {shape} as its header says,",
        "repair the header or leave the file out",
    )
    if not _is_invertible(image.affine):
        raise DataError(
            f"'{path}' must have a voxel size and directions in its header, its affine is not invertible: repair it"
        )
    return image


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    """Whether an affine is finite and gives every axis of the file a direction of its own, whatever the unit."""
    if not np.isfinite(affine).all():
        return False
    sides = float(np.prod(nib.affines.voxel_sizes(affine)))
    if not abs(np.linalg.det(affine[:3, :3])) > _FLAT * sides:
        return False
    return not np.isnan(io_orientation(affine)).any()


_MASK = ("a mask", "image", "resample the mask to the image's grid")
_CHANNEL = ("a channel", "first channel", "resample it to the first channel's grid")


def _check_grid(
    path: Path, image: StoredImage, other: StoredImage, same_grid: bool, words: tuple[str, str, str]
) -> None:
    """Shapes must be equal; with `same_grid`, corners must lie within half a voxel of those of the image."""
    what, of, remedy = words
    if other.shape[:3] != image.shape[:3]:
        raise DataError(
            f"{what} must have the shape of its {of}, '{path}' has {other.shape} and the {of} {image.shape}: {remedy}"
        )
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in image.shape[:3]], indexing="ij")).reshape(3, -1).T
    apart = nib.affines.apply_affine(image.affine, corners) - nib.affines.apply_affine(other.affine, corners)
    distance = float(np.linalg.norm(apart, axis=1).max())
    if same_grid and distance > 0.5 * nib.affines.voxel_sizes(image.affine).min():
        raise DataError(
            f"{what} must lie on the grid of its {of}, the corners of '{path}' are up to {distance:.3g} mm off: "
            "resample it, or set data.mask_grid=image if only its header is wrong"
        )


def _read_image(image: StoredImage, channels: tuple[int, ...] | None) -> list[NDArray[np.float32]]:
    """The channels, each (i, j, k)."""
    values = image.read(np.float32).astype(np.float32, copy=False)
    values = values.reshape(*values.shape[:_ONE_IMAGE], -1)
    return [values[..., channel] for channel in channels or range(values.shape[-1])]


def _read_mask(
    path: Path, mask: StoredImage, labels: Labels, problems: list[Problem]
) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """(i, j, k) label map, and the voxels of every value of the file. Wrong values are added to `problems`, and the
    others are still read.
    """
    values = _mask_values(path, mask)
    counts = value_counts(values)
    problems += [Problem(str(path), sentence) for sentence in labels.problems(counts, path)]
    return labels.map(values, np.array(list(counts), dtype=values.dtype)), counts


def _mask_values(path: Path, mask: StoredImage) -> NDArray[np.generic]:
    """(i, j, k) whole numbers."""
    values = label_values(path, mask)
    if values.min() >= 0 and values.max() < 256:
        values = values.astype(np.uint8)
    return values


def _by_organ(files: Files, masks: Sequence[NDArray[np.uint8]]) -> dict[str | None, list[NDArray[np.uint8]]]:
    """The masks of all raters of each organ."""
    by_organ: dict[str | None, list[NDArray[np.uint8]]] = {}
    for file, mask in zip(files.masks, masks, strict=True):
        by_organ.setdefault(file.organ, []).append(mask)
    return by_organ


def _combined(
    files: Files, by_organ: Mapping[str | None, Sequence[NDArray[np.uint8]]], reading: Reading
) -> NDArray[np.uint8]:
    """(i, j, k) label map of all masks of a volume, which have one shape."""
    rule = reading.combining
    made = {organ: combined_raters(several, rule.raters or "first") for organ, several in by_organ.items()}
    if None in made:
        return made[None]
    named = {organ: mask for organ, mask in made.items() if organ is not None}
    return combined_organs(named, reading.labels.names, rule.overlap, f"'{files.images[0]}'")


@contextmanager
def _collected(problems: list[Problem], path: Path) -> Iterator[None]:
    """Turn a DataError of the block into a problem."""
    try:
        yield
    except DataError as error:
        problems.append(Problem(str(path), str(error)))
