"""Your own volumes: a folder in the layout of the Decathlon [1] or of nnU-Net, a folder of HDF5, or a list of files.

`imagesTr/` with `labelsTr/`, or `images/` with `masks/`, are paired by `dataset.json` or, without it, by file name. In
a folder of HDF5 files, each holds the image and the mask of a case. A CSV or YAML file may list image, mask and patient
instead, and set axis, labels, classes, unknown, unlabeled, window, size and channels, unless they are given with
`--set`; all cases of a patient are in one part of the split.

[1] Simpson et al. A large annotated medical image dataset for the development and evaluation of segmentation
algorithms. arXiv:1902.09063, 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, get_type_hints

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from albench.data import register
from albench.datasets._array_files import array_folder, with_arrays
from albench.datasets._formats import Arrays, in_array
from albench.datasets._formats.hdf5 import ArrayAxes
from albench.datasets._labels import Labels, Target, labels_of_folder
from albench.datasets._layout import Layout, read_folder
from albench.datasets._listing import SUFFIXES, read_listing
from albench.datasets._nifti import Reading, shape_of
from albench.datasets._volumes import FOR_SMALL_SLICES, NiftiVolumes
from albench.errors import DataError
from albench.files import is_file

_Millimeters = Annotated[float, Field(gt=0)]
_SMALL = 128  # pixels; 1/16 of a smaller slice is too coarse for segmentation and attention


@register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(NiftiVolumes):
    """Your own volumes: a folder with images and masks, or a CSV or YAML file that lists them.

    Attributes:
        root: the folder, or the CSV or YAML file.
        labels: values of the mask that are foreground; None takes every value above 0. Several labels are one class.
        target: `foreground` is one class; `classes` are those that dataset.json names.
        channels: indices of the volumes of a 4D image that are channels, from 0; None takes all that dataset.json
            declares.
        h5_image: name of the array with the image in an HDF5 file.
        h5_label: name of the array with the mask.
        h5_axes: axes of the arrays, x to the right, y to the front, z up and c for channels, which masks may lack.
        h5_spacing: size of a voxel of the arrays in millimeters along x, y and z; None assumes 1 mm.
    """

    later: ClassVar[tuple[str, ...]] = (*NiftiVolumes.later, "h5_image", "h5_label", "h5_axes", "h5_spacing")

    _given: ClassVar[frozenset[str]] = frozenset()  # of an object: the names of the options that it was made with

    root: str
    labels: tuple[int, ...] | None = None
    target: Target = "foreground"
    channels: tuple[int, ...] | None = None
    h5_image: str = "image"
    h5_label: str = "label"
    h5_axes: ArrayAxes = "xyz"
    h5_spacing: tuple[_Millimeters, _Millimeters, _Millimeters] | None = None

    def __new__(cls, **given: object) -> Folder:
        """Note which options are given, because a given option may be equal to its default."""
        made = super().__new__(cls)
        object.__setattr__(made, "_given", frozenset(given))
        return made

    def __post_init__(self) -> None:
        """Take the options that a list sets, except those that are given."""
        if self._is_list:
            hints = get_type_hints(type(self))
            for name, value in self._found.options.items():
                fitting = _fitting(hints[name], value, name, self.root)
                if name not in self._given:
                    object.__setattr__(self, name, fitting)

    @property
    def title(self) -> str:
        """The name of the folder or of the list."""
        path = Path(self.root).resolve()
        return path.stem if self._is_list else path.name

    def defaults(self) -> Mapping[str, object]:
        """A budget and, for small slices, a small network with a fine grid.

        The budget is 2 % of the slices with masks in the training set of the default split, at least 10.
        """
        volumes = self._layout.checked().volumes.values()
        depths, *sides = np.array(self._shapes).T
        labeled = [files.mask is not None for files in volumes]
        budget = {"protocol.budget": max(10, round(0.014 * depths[labeled].sum()))}
        small = max(side.max() for side in sides) <= _SMALL
        return budget | FOR_SMALL_SLICES if small else budget

    @cached_property
    def _is_list(self) -> bool:
        path = Path(self.root)
        return path.suffix in SUFFIXES and is_file(path)

    @cached_property
    def _shapes(self) -> list[tuple[int, int, int]]:
        """Depth, height and width of every volume, from the headers of the images."""
        return [shape_of(files.images[0], self._reading()) for files in self._layout.volumes.values()]

    def _find(self) -> Layout:
        root = Path(self.root)
        found = read_listing(root) if self._is_list else array_folder(root) or read_folder(root)
        return with_arrays(found, self.h5_image, self.h5_label)

    def _target(self) -> Labels:
        return labels_of_folder(self._found.labels, self.target, self.labels)

    def _channels(self) -> tuple[int, ...] | None:
        return self.channels or self._layout.all_channels()

    def _reading(self) -> Reading:
        """How files become volumes, arrays of HDF5 as the options say."""
        arrays = Arrays(self.h5_axes, self.h5_spacing or Arrays.spacing)
        return replace(super()._reading(), arrays=arrays)

    def notes(self) -> Sequence[str]:
        """Those of all volumes, and what is assumed of arrays of HDF5."""
        files = self._layout.volumes.values()
        if self.h5_spacing is not None or not any(in_array(path) for of in files for path in of.images):
            return super().notes()
        assumed = (
            f"arrays of HDF5 have no voxel size and no orientation, 1 mm and the axes {self.h5_axes} are assumed: set "
            "data.h5_spacing, and data.h5_axes if they are others"
        )
        return [*super().notes(), assumed]


def _fitting(hint: type[object], value: object, name: str, root: str) -> object:
    """The value of a list in the type of the option. Raises DataError."""
    try:
        return TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].lower()
        raise DataError(
            f"'{root}' must set {name} to a value of data.{name}, got {value!r} ({rule}): correct it"
        ) from error
