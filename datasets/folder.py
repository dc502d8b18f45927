"""A folder of NIfTI volumes in the layout of the Medical Segmentation Decathlon [1].

`imagesTr/` holds the images and `labelsTr/` the masks, paired by `dataset.json` or, without it, by file name.

[1] Simpson et al. A large annotated medical image dataset for the development and evaluation of segmentation
algorithms. arXiv:1902.09063, 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from albench.data import Dataset, Volume, register
from albench.errors import DataError

_SUFFIXES = (".nii.gz", ".nii")
_SMALL = 128  # pixels; 1/16 of a smaller slice is too coarse to segment or to attend over
_DIMENSION = {"sagittal": 0, "coronal": 1, "axial": 2}


@register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """Volumes brought by the user.

    Volumes are turned to the nearest orientation with x to the left, y to the back and z up, then cut along `axis`.

    Attributes:
        root: the folder with imagesTr and labelsTr.
        axis: how slices lie: across x (sagittal), y (coronal) or z (axial).
        labels: values of the mask that are foreground; None takes every value above 0.
        mask_grid: `own` asks for masks on the grid of their images; `image` trusts the array and ignores the mask's
            header.
    """

    locations: ClassVar[tuple[str, ...]] = ("root",)

    root: str
    axis: Literal["sagittal", "coronal", "axial"] = "axial"
    labels: tuple[int, ...] | None = None
    mask_grid: Literal["own", "image"] = "own"

    @property
    def title(self) -> str:
        """The name of the folder."""
        return Path(self.root).resolve().name

    def subjects(self) -> Sequence[str]:
        """File names without suffix, sorted."""
        return sorted(self._pairs)

    def inputs(self) -> Sequence[Path]:
        """All images and masks, and dataset.json."""
        paths = [path for subject in self.subjects() for path in self._pairs[subject]]
        listing = Path(self.root) / "dataset.json"
        return [*paths, listing] if listing.exists() else paths

    def load(self, subject: str) -> Volume:
        """Read one image and its mask."""
        image_path, mask_path = self._pairs[subject]
        image, mask = _open(image_path), _open(mask_path)
        if image.shape != mask.shape:
            raise DataError(
                f"a mask must have the shape of its image, '{mask_path}' has {mask.shape} and the image "
                f"{image.shape}: resample the mask on the image's grid"
            )
        if self.mask_grid == "own":
            _check_same_grid(image, mask, mask_path)
        values, spacing = self._oriented(_read(image, image_path), image.affine)
        labels, _ = self._oriented(_read(mask, mask_path), image.affine)
        return Volume(values[None], self._binary(labels, mask_path), spacing)

    def defaults(self) -> Mapping[str, object]:
        """A budget and, for small slices, a small network with a fine grid.

        The budget is 2 % of the slices that the default split trains on, at least 10.
        """
        depths, *sides = np.array(self._shapes).T
        budget = {"protocol.budget": max(10, round(0.014 * depths.sum()))}
        small = max(side.max() for side in sides) <= _SMALL
        return budget | _FOR_SMALL_SLICES if small else budget

    def _binary(self, labels: NDArray[np.float32], path: Path) -> NDArray[np.uint8]:
        whole = np.rint(labels)
        if not np.isfinite(labels).all() or np.abs(labels - whole).max() > 1e-3:
            raise DataError(f"a mask must hold whole numbers, '{path}' does not: save labels, not probabilities")
        found = {int(value) for value in np.unique(whole)}
        undeclared = found - {0} - self._declared
        if self._declared and undeclared and self.labels is None:
            raise DataError(
                f"a mask must hold labels that dataset.json declares, '{path}' holds {min(undeclared)} too: "
                "say which labels are foreground with data.labels"
            )
        return (whole > 0 if self.labels is None else np.isin(whole, self.labels)).astype(np.uint8)

    def _oriented(
        self, values: NDArray[np.float32], affine: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
        """(d, h, w) values and their spacing, rows from front to back and columns from right to left of the body."""
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
        turned = nib.orientations.apply_orientation(values, turn)
        sizes = np.empty(3)
        sizes[turn[:, 0].astype(int)] = nib.affines.voxel_sizes(affine)
        order = [_DIMENSION[self.axis], *(i for i in (2, 1, 0) if i != _DIMENSION[self.axis])]
        turned = turned.transpose(order)
        if self.axis != "axial":
            turned = turned[:, ::-1]  # rows from the top of the body down
        dz, dy, dx = (float(sizes[i]) for i in order)
        return np.ascontiguousarray(turned), (dz, dy, dx)

    @cached_property
    def _pairs(self) -> dict[str, tuple[Path, Path]]:
        return _find_pairs(Path(self.root))

    @cached_property
    def _declared(self) -> set[int]:
        """The labels that dataset.json declares; empty if it does not."""
        path = Path(self.root) / "dataset.json"
        try:
            return {int(label) for label in json.loads(path.read_text())["labels"]} if path.exists() else set()
        except (ValueError, KeyError, TypeError):
            return set()

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Depth, height and width of every subject, from the headers."""
        shapes = []
        for path, _ in self._pairs.values():
            image = _open(path)
            empty = np.broadcast_to(np.float32(0), image.shape)
            shapes.append(self._oriented(empty, image.affine)[0].shape)
        return shapes


_FOR_SMALL_SLICES: dict[str, object] = {
    "network.backbone": "resnet18",
    "network.width": 0.5,
    "network.decoder_width": 32,
    "network.stem_stride": 2,
    "training.batch_size": 16,
    "training.lr": 1e-3,
    "training.lr_incremental": 3e-4,
    "training.epochs": 40,
    "protocol.rounds": 6,
}


def _find_pairs(root: Path) -> dict[str, tuple[Path, Path]]:
    if not root.is_dir():
        raise DataError(f"data.root must be an existing folder, '{root}' is not: set it with --data-root")
    images, masks = _by_subject(root / "imagesTr"), _by_subject(root / "labelsTr")
    if (root / "dataset.json").exists():
        listed = _listed(root)
        images = {name: root / image for name, (image, _) in listed.items()}
        masks = {name: root / mask for name, (_, mask) in listed.items()}
    if not images:
        raise DataError(f"'{root}' must hold images in imagesTr/ and masks in labelsTr/, found none: check the path")
    for name, path in images.items():
        if name not in masks or not masks[name].is_file():
            raise DataError(f"every image must have a mask, '{path}' has none in labelsTr/: add it or remove the image")
        if not path.is_file():
            raise DataError(f"'{path}' must exist, dataset.json lists it: add the file or remove the line")
    return {name: (images[name], masks[name]) for name in images}


def _by_subject(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = [path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and not path.name.startswith(".")]
    return {_stem(path): path for path in files}


def _listed(root: Path) -> dict[str, tuple[str, str]]:
    path = root / "dataset.json"
    try:
        entries = json.loads(path.read_text())["training"]
        return {_stem(Path(entry["image"])): (entry["image"], entry["label"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'\'{path}\' must list its subjects under "training", each with "image" and "label": mend or remove it'
        ) from error


def _stem(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def _open(path: Path) -> SpatialImage:
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel and the decompressor raise many kinds for a file that is no image
        raise DataError(f"'{path}' must be a readable NIfTI file, it is not ({error}): replace or remove it") from error
    if not isinstance(image, SpatialImage) or len(image.shape) != 3:
        shape = getattr(image, "shape", ())
        raise DataError(f"'{path}' must be a 3D volume, it has shape {shape}: remove it or save one volume a file")
    return image


def _read(image: SpatialImage, path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # a truncated file shows only here
        raise DataError(
            f"'{path}' must be complete, it cannot be read to its end ({error}): copy or download it again"
        ) from error


def _check_same_grid(image: SpatialImage, mask: SpatialImage, path: Path) -> None:
    """Corners of the mask must lie within half a voxel of those of its image."""
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in image.shape], indexing="ij")).reshape(3, -1).T
    apart = nib.affines.apply_affine(image.affine, corners) - nib.affines.apply_affine(mask.affine, corners)
    distance = float(np.linalg.norm(apart, axis=1).max())
    if distance > 0.5 * nib.affines.voxel_sizes(image.affine).min():
        raise DataError(
            f"a mask must lie on the grid of its image, the corners of '{path}' are up to {distance:.3g} mm off: "
            "resample it, or use data.mask_grid=image if only its header is wrong"
        )
