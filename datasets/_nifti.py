"""Reading one volume from NIfTI files: turned to one orientation, cut along an axis, its mask made binary.

`examine` says everything that is wrong, `load` refuses with the first of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from albench.data import Problem, Volume, check_volume
from albench.errors import DataError

SUFFIXES = (".nii.gz", ".nii")
Scalar = TypeVar("Scalar", bound=np.generic)
Axis = Literal["sagittal", "coronal", "axial"]

_DIMENSION: dict[Axis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
_ONE_IMAGE = 3  # dimensions of an image without channels


@dataclass(frozen=True)
class Files:
    """The files of one volume.

    Attributes:
        images: one file, or several that are the channels.
        mask: on the grid of the images.
    """

    images: tuple[Path, ...]
    mask: Path


@dataclass(frozen=True)
class Reading:
    """How files become a volume.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial).
        labels: values of the mask that are foreground; None takes every value above 0.
        declared: values that the mask may hold, if `labels` is None; empty allows all.
        channels: which volumes of a 4D image are read; None refuses a 4D image.
        same_grid: whether mask and further channels must lie on the grid of the first image by their headers.
    """

    axis: Axis = "axial"
    labels: tuple[int, ...] | None = None
    declared: frozenset[int] = frozenset()
    channels: tuple[int, ...] | None = None
    same_grid: bool = True


def load(files: Files, reading: Reading) -> Volume:
    """Read one volume. Raises DataError with the first problem."""
    volume, problems = examine(files, reading)
    if problems:
        raise DataError(problems[0].sentence)
    assert volume is not None
    return volume


def examine(files: Files, reading: Reading) -> tuple[Volume | None, list[Problem]]:
    """Read one volume and note everything that is wrong with it; None if it cannot be put together."""
    problems: list[Problem] = []
    images, channels, binary = [], [], None
    for path in files.images:
        with _noting(problems, path):
            images.append(_open(path, reading.channels))
    with _noting(problems, files.mask):
        mask = _open(files.mask, None)
        binary = _read_mask(files.mask, mask, reading, problems)
        if len(images) == len(files.images):
            _check_grid(files.mask, images[0], mask, reading.same_grid, _MASK)
    if len(images) < len(files.images):
        return None, problems
    for path, image in zip(files.images, images, strict=True):
        with _noting(problems, path):
            _check_grid(path, images[0], image, reading.same_grid, _CHANNEL)
            for channel in _read_image(path, image, reading.channels):
                channels.append(oriented(channel, images[0].affine, reading.axis)[0])
    if binary is None or binary.shape != images[0].shape[:3] or len({channel.shape for channel in channels}) != 1:
        return None, problems
    turned, spacing = oriented(binary, images[0].affine, reading.axis)
    return Volume(channels[0][None] if len(channels) == 1 else np.stack(channels), turned, spacing), problems


def inspect(volumes: Mapping[str, Files], reading: Reading, window: tuple[float, float] | None) -> Iterator[Problem]:
    """Everything that is wrong with any volume, and what only looks wrong. One volume is in memory at a time."""
    seen: dict[str, str] = {}
    counts: dict[int, str] = {}
    for name, files in volumes.items():
        volume, problems = examine(files, reading)
        yield from problems
        if volume is None:
            continue
        image = str(files.images[0])
        try:
            check_volume(volume, name, window)
        except DataError as error:
            yield Problem(image, str(error))
        if not problems and not volume.mask.any():
            yield Problem(str(files.mask), "a mask should have foreground, it has none: check its labels", False)
        content = hashlib.sha256(volume.image.tobytes()).hexdigest()
        if content in seen:
            sentence = f"an image should be there once, it equals that of '{seen[content]}': remove one"
            yield Problem(image, sentence, False)
        seen.setdefault(content, name)
        counts.setdefault(len(volume.image), name)
        if len(counts) > 1 and counts.get(len(volume.image)) == name:
            number, other = next(iter(counts.items()))
            yield Problem(
                image,
                f"all cases must have the same number of channels, '{other}' has {number} and '{name}' "
                f"{len(volume.image)}: choose channels that all of them have",
            )


def shape_of(path: Path, reading: Reading) -> tuple[int, int, int]:
    """Depth, height and width of a volume, from the header of its image."""
    image = _open(path, reading.channels)
    empty = np.broadcast_to(np.float32(0), image.shape[:3])
    depth, height, width = oriented(empty, image.affine, reading.axis, copy=False)[0].shape
    return depth, height, width


def oriented(
    values: NDArray[Scalar], affine: NDArray[np.float64], axis: Axis, *, copy: bool = True
) -> tuple[NDArray[Scalar], tuple[float, float, float]]:
    """(d, h, w) values and their spacing, rows from front to back and columns from right to left of the body.

    Args:
        values: (i, j, k) as in the file.
        affine: from voxels to millimeters.
    """
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
    turned = nib.orientations.apply_orientation(values, turn)
    sizes = np.empty(3)
    sizes[turn[:, 0].astype(int)] = nib.affines.voxel_sizes(affine)
    order = [_DIMENSION[axis], *(i for i in (2, 1, 0) if i != _DIMENSION[axis])]
    turned = turned.transpose(order)
    if axis != "axial":
        turned = turned[:, ::-1]  # rows from the top of the body down
    dz, dy, dx = (float(sizes[i]) for i in order)
    return np.ascontiguousarray(turned) if copy else turned, (dz, dy, dx)


def stem(path: Path) -> str:
    """The name without .nii or .nii.gz."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def not_nifti(path: Path) -> str:
    """What is wrong with a file of another format."""
    return f"'{path}' must be a NIfTI file (.nii or .nii.gz), it is another format: convert it, with SimpleITK for one"


def _open(path: Path, channels: tuple[int, ...] | None) -> SpatialImage:
    if not path.name.endswith(SUFFIXES):
        raise DataError(not_nifti(path))
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel and the decompressor raise many kinds for a file that is no image
        raise DataError(f"'{path}' must be a readable NIfTI file, it is not ({error}): replace or remove it") from error
    shape = getattr(image, "shape", ())
    single = len(shape) == _ONE_IMAGE or (len(shape) > _ONE_IMAGE and set(shape[_ONE_IMAGE:]) == {1})
    if not isinstance(image, SpatialImage) or not (single or (len(shape) == _ONE_IMAGE + 1 and channels)):
        remedy = "remove it or save one volume a file"
        if len(shape) == _ONE_IMAGE + 1:
            remedy += ", or for an image with channels say which with data.channels"
        raise DataError(f"'{path}' must be a 3D volume, it has shape {shape}: {remedy}")
    count = 1 if single else shape[_ONE_IMAGE]
    if channels and not 0 <= min(channels) <= max(channels) < count:
        raise DataError(
            f"'{path}' must have the channels {list(channels)} of data.channels, it has {count}: choose from 0 to "
            f"{count - 1}"
        )
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise DataError(f"'{path}' must have a header with a voxel size and directions, it has none: repair its affine")
    return image


_MASK = ("a mask", "image", "resample the mask on the image's grid")
_CHANNEL = ("a channel", "first channel", "resample it on the first channel's grid")


def _check_grid(
    path: Path, image: SpatialImage, other: SpatialImage, same_grid: bool, words: tuple[str, str, str]
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
            "resample it, or use data.mask_grid=image if only its header is wrong"
        )


def _read_image(path: Path, image: SpatialImage, channels: tuple[int, ...] | None) -> list[NDArray[np.float32]]:
    """The channels, each (i, j, k)."""
    with _complete(path):
        values = np.asarray(image.dataobj, dtype=np.float32)
    values = values.reshape(*values.shape[:3], -1)
    return [values[..., channel] for channel in channels or (0,)]


def _read_mask(path: Path, mask: SpatialImage, reading: Reading, problems: list[Problem]) -> NDArray[np.uint8]:
    """(i, j, k) mask of 0 and 1. Wrong labels are noted, and the others are still read."""
    proxy = mask.dataobj
    scaled = getattr(proxy, "slope", 1) != 1 or getattr(proxy, "inter", 0) != 0
    with _complete(path):
        values = np.asarray(proxy, None if mask.get_data_dtype().kind in "iu" and not scaled else np.float32)
    values = values.reshape(values.shape[:3])
    if values.dtype.kind == "f":
        whole = np.rint(values)
        if not np.isfinite(values).all() or np.abs(values - whole).max() > 1e-3:
            raise DataError(f"a mask must hold whole numbers, '{path}' does not: save labels, not probabilities")
        values = whole
    if values.min() >= 0 and values.max() < 256:
        values = values.astype(np.uint8)
    found = {int(value) for value in np.unique(values)}
    if min(found) < 0:
        sentence = f"a mask must hold labels of at least 0, '{path}' holds {min(found)}: save it without"
        problems.append(Problem(str(path), sentence))
    undeclared = {value for value in found if value > 0} - reading.declared
    if reading.declared and undeclared and reading.labels is None:
        sentence = (
            f"a mask must hold labels that dataset.json declares, '{path}' holds {min(undeclared)} too: "
            "say which labels are foreground with data.labels"
        )
        problems.append(Problem(str(path), sentence))
    return (values > 0 if reading.labels is None else np.isin(values, reading.labels)).astype(np.uint8)


@contextmanager
def _noting(problems: list[Problem], path: Path) -> Iterator[None]:
    """Note what a block refuses, and go on after it."""
    try:
        yield
    except DataError as error:
        problems.append(Problem(str(path), str(error)))


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Turn whatever a truncated file raises into one sentence; it shows only when the voxels are read."""
    try:
        yield
    except Exception as error:
        raise DataError(
            f"'{path}' must be complete, it cannot be read to its end ({error}): copy or download it again"
        ) from error
