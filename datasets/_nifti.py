"""Reading one volume from NIfTI files: brought to one orientation, cut along an axis, its mask made a label map.

`examine` returns all problems, `load` raises the first.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from albench.data import (
    CaseSummary,
    FileFacts,
    Problem,
    Volume,
    case_problems,
    check_memory,
    most_frequent,
    pooled,
    set_problems,
    value_counts,
)
from albench.datasets._labels import Labels
from albench.errors import DataError
from albench.masks import UNKNOWN, foreground

SUFFIXES = (".nii.gz", ".nii")
Scalar = TypeVar("Scalar", bound=np.generic)
Axis = Literal["sagittal", "coronal", "axial"]

_DIMENSION: dict[Axis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
_ONE_IMAGE = 3  # dimensions of an image without channels
_MILLIMETERS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # by the code of the unit: unknown, meters, millimeters, microns
_REST = 1 << 20  # bytes that are read at once behind the voxels
_FLAT = 1e-6  # volume of a voxel, as a part of the product of its sides, below which directions are not independent


@dataclass(frozen=True)
class Files:
    """The files of one volume.

    Attributes:
        images: one file, or one for every channel.
        mask: on the grid of the images; None if there is none, so that all labels are unknown.
    """

    images: tuple[Path, ...]
    mask: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return self.images if self.mask is None else (*self.images, self.mask)


@dataclass(frozen=True)
class Reading:
    """How files become a volume.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial).
        labels: what the values of a mask mean.
        channels: indices of the channels of a 4D image to read; None rejects a 4D image.
        same_grid: whether the headers of the mask and of further channels must give the grid of the first image.
    """

    axis: Axis
    labels: Labels
    channels: tuple[int, ...] | None = None
    same_grid: bool = True


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
    images, channels, labels = [], [], None
    values: dict[int, int] = {}
    for path in files.images:
        with _collected(problems, path):
            images.append(_open(path, reading.channels))
    if files.mask is not None:
        with _collected(problems, files.mask):
            mask = _open(files.mask, None)
            labels, values = _read_mask(files.mask, mask, reading.labels, problems)
            if len(images) == len(files.images):
                _check_grid(files.mask, images[0], mask, reading.same_grid, _MASK)
    if len(images) < len(files.images):
        return None, problems
    if files.mask is None:
        labels = np.full(images[0].shape[:3], UNKNOWN, dtype=np.uint8)
    for path, image in zip(files.images, images, strict=True):
        with _collected(problems, path):
            _check_grid(path, images[0], image, reading.same_grid, _CHANNEL)
            for channel in _read_image(path, image, reading.channels):
                channels.append(oriented(channel, _affine(images[0]), reading.axis)[0])
    if labels is None or labels.shape != images[0].shape[:3] or len({channel.shape for channel in channels}) != 1:
        return None, problems
    turned, spacing = oriented(labels, _affine(images[0]), reading.axis)
    reading.labels.hide_empty_slices(turned)
    facts = FileFacts("".join(nib.aff2axcodes(images[0].affine)), most_frequent(values))
    return Volume(channels[0][None] if len(channels) == 1 else np.stack(channels), turned, spacing, facts), problems


def values_of(path: Path) -> dict[int, int]:
    """Voxels of every value of a mask, ascending. Raises DataError: it cannot be read."""
    return value_counts(_mask_values(path, _open(path, None)))


def inspect(
    title: str,
    volumes: Mapping[str, Files],
    reading: Reading,
    *,
    size: tuple[int, int] | None,
    window: tuple[float, float] | None,
    values: dict[str, Mapping[int, int]],
) -> Iterator[Problem]:
    """Every problem of every volume and of all together. One volume is in memory at a time.

    Args:
        title: of the dataset.
        size: as in `Dataset`, as is `window`.
        values: filled with the voxels by value of every good mask.
    """
    seen: dict[str, str] = {}
    summaries = []
    for name, files in volumes.items():
        volume, problems = examine(files, reading)
        yield from problems
        if volume is None:
            continue
        if volume.facts and not problems:
            values[name] = volume.facts.values
        image = str(files.images[0])
        yield from case_problems(volume, name, window, image, classes=reading.labels.names)
        if not problems and files.mask is not None and not foreground(volume.mask).any():
            sentence = f"a mask should have foreground, '{files.mask}' has none: check its labels"
            yield Problem(str(files.mask), sentence, False)
        content = hashlib.sha256(volume.image.tobytes()).hexdigest()
        if content in seen:
            sentence = f"an image should occur once, '{image}' equals that of '{seen[content]}': remove one"
            yield Problem(image, sentence, False)
        seen.setdefault(content, name)
        summaries.append(CaseSummary.of(volume, name, image, size, len(reading.labels.names)))
    sentence = reading.labels.question(title, pooled(values.values()))
    if sentence:
        yield Problem(title, sentence)
    if summaries:
        yield from set_problems(title, reading.labels.names, summaries)


def shape_of(path: Path, reading: Reading) -> tuple[int, int, int]:
    """Depth, height and width of a volume, from the header of its image."""
    image = _open(path, reading.channels)
    empty = np.broadcast_to(np.float32(0), image.shape[:3])
    depth, height, width = oriented(empty, _affine(image), reading.axis, copy=False)[0].shape
    return depth, height, width


def oriented(
    values: NDArray[Scalar], affine: NDArray[np.float64], axis: Axis, *, copy: bool = True
) -> tuple[NDArray[Scalar], tuple[float, float, float]]:
    """(d, h, w) values and their spacing in millimeters; an axial slice has rows from front to back and columns from
    right to left of the body.

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
        turned = turned[:, ::-1]  # rows from the top of the body to the bottom
    dz, dy, dx = (float(sizes[i]) for i in order)
    return np.ascontiguousarray(turned) if copy else turned, (dz, dy, dx)


def stem(path: Path) -> str:
    """The name without .nii or .nii.gz."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def not_nifti(path: Path) -> str:
    """The sentence about a file of another format."""
    return f"'{path}' must be a NIfTI file (.nii or .nii.gz), it is another format: convert it, for example to .nii.gz"


def _open(path: Path, channels: tuple[int, ...] | None) -> SpatialImage:
    if not path.name.endswith(SUFFIXES):
        raise DataError(not_nifti(path))
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel and the decompressor raise many kinds for a file that is not an image
        raise DataError(f"'{path}' must be a readable NIfTI file, it is not ({error}): replace or remove it") from error
    shape = getattr(image, "shape", ())
    single = len(shape) == _ONE_IMAGE or (len(shape) > _ONE_IMAGE and set(shape[_ONE_IMAGE:]) == {1})
    if not isinstance(image, SpatialImage) or not (single or (len(shape) == _ONE_IMAGE + 1 and channels)):
        remedy = "remove it or save one volume per file"
        if len(shape) == _ONE_IMAGE + 1:
            remedy += ", or choose the channels of an image with data.channels"
        raise DataError(f"'{path}' must be a 3D volume, it has shape {shape}: {remedy}")
    count = 1 if single else shape[_ONE_IMAGE]
    if channels and not 0 <= min(channels) <= max(channels) < count:
        raise DataError(
            f"'{path}' must have the channels {list(channels)} of data.channels, it has {count}: choose from 0 to "
            f"{count - 1}"
        )
    if image.get_data_dtype().kind not in "iuf":
        raise DataError(
            f"'{path}' must have one real number per voxel, its type is {_header(image).get_value_label('datatype')}: "
            "save what is to be segmented, such as the magnitude, as real numbers"
        )
    if _unit(image) not in _MILLIMETERS:
        raise DataError(
            f"'{path}' must have a voxel size in millimeters, meters or microns, its header has code {_unit(image)} as "
            "unit: correct xyzt_units"
        )
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


def _affine(image: SpatialImage) -> NDArray[np.float64]:
    """From voxels to millimeters."""
    scaled: NDArray[np.float64] = image.affine * np.array([[_MILLIMETERS[_unit(image)]]] * 3 + [[1.0]])
    return scaled


def _unit(image: SpatialImage) -> int:
    """The code of NIfTI for the unit of length, the lower three bits of xyzt_units."""
    return int(_header(image)["xyzt_units"]) & 7


def _header(image: SpatialImage) -> Nifti1Header:
    """That of NIfTI-1 or NIfTI-2, which is a subclass."""
    return cast(Nifti1Header, image.header)


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
    path: Path, image: SpatialImage, other: SpatialImage, same_grid: bool, words: tuple[str, str, str]
) -> None:
    """Shapes must be equal; with `same_grid`, corners must lie within half a voxel of those of the image."""
    what, of, remedy = words
    if other.shape[:3] != image.shape[:3]:
        raise DataError(
            f"{what} must have the shape of its {of}, '{path}' has {other.shape} and the {of} {image.shape}: {remedy}"
        )
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in image.shape[:3]], indexing="ij")).reshape(3, -1).T
    affine = _affine(image)
    apart = nib.affines.apply_affine(affine, corners) - nib.affines.apply_affine(_affine(other), corners)
    distance = float(np.linalg.norm(apart, axis=1).max())
    if same_grid and distance > 0.5 * nib.affines.voxel_sizes(affine).min():
        raise DataError(
            f"{what} must lie on the grid of its {of}, the corners of '{path}' are up to {distance:.3g} mm off: "
            "resample it, or set data.mask_grid=image if only its header is wrong"
        )


def _read_image(path: Path, image: SpatialImage, channels: tuple[int, ...] | None) -> list[NDArray[np.float32]]:
    """The channels, each (i, j, k)."""
    values = _voxels(path, image, np.float32).astype(np.float32, copy=False)
    values = values.reshape(*values.shape[:3], -1)
    return [values[..., channel] for channel in channels or (0,)]


def _read_mask(
    path: Path, mask: SpatialImage, labels: Labels, problems: list[Problem]
) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """(i, j, k) label map, and the voxels of every value of the file. Wrong values are added to `problems`, and the
    others are still read.
    """
    values = _mask_values(path, mask)
    counts = value_counts(values)
    problems += [Problem(str(path), sentence) for sentence in labels.problems(counts, path)]
    return labels.map(values, np.array(list(counts), dtype=values.dtype)), counts


def _mask_values(path: Path, mask: SpatialImage) -> NDArray[np.generic]:
    """(i, j, k) whole numbers."""
    proxy = mask.dataobj
    scaled = getattr(proxy, "slope", 1) != 1 or getattr(proxy, "inter", 0) != 0
    values = _voxels(path, mask, None if mask.get_data_dtype().kind in "iu" and not scaled else np.float32)
    values = values.reshape(values.shape[:3])
    if values.dtype.kind == "f":
        whole = np.rint(values)
        if not np.isfinite(values).all() or np.abs(values - whole).max() > 1e-3:
            raise DataError(f"a mask must contain whole numbers, '{path}' does not: save labels, not probabilities")
        values = whole
    if values.min() >= 0 and values.max() < 256:
        values = values.astype(np.uint8)
    return values


def _voxels(path: Path, image: SpatialImage, dtype: type[np.float32] | None) -> NDArray[np.generic]:
    """All voxels, scaled as the header says. Raises DataError if the file is cut or the checksum of gzip is wrong."""
    proxy = image.dataobj
    with _complete(path):
        if path.suffix != ".gz" or not isinstance(proxy, ArrayProxy):
            return np.asarray(proxy, dtype)
        with gzip.open(path) as stream:
            spec = (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter)
            values = np.asarray(ArrayProxy(stream, spec), dtype)
            while stream.read(_REST):  # the checksum comes after the voxels, where nibabel stops
                pass
            return values


@contextmanager
def _collected(problems: list[Problem], path: Path) -> Iterator[None]:
    """Turn a DataError of the block into a problem."""
    try:
        yield
    except DataError as error:
        problems.append(Problem(str(path), str(error)))


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Turn any exception about a truncated file into one sentence; it is raised only when the voxels are read."""
    try:
        yield
    except Exception as error:
        raise DataError(
            f"'{path}' must be complete, it cannot be read to its end ({error}): copy or download it again"
        ) from error
