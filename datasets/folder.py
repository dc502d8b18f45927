"""Your own volumes: a folder in the layout of the Decathlon [1] or of nnU-Net, a folder of HDF5, or a list of files.

`imagesTr/` with `labelsTr/`, or folders of other usual names, are paired by `dataset.json` or, without it, by file
name; so are files whose names or folders say which are masks, and DICOM as archives keep it, by the series that masks
reference. In a folder of HDF5 files, each holds the image and the mask of a case. A CSV, YAML or JSON file may list
image, mask and patient instead. CSV and YAML may set axis, labels, classes, organs, raters, overlap, patients, unknown,
unlabeled, window, clip, intensity, size and channels, unless they are given with `--set`; all cases of a patient are in
one part of the split.

[1] Simpson et al. A large annotated medical image dataset for the development and evaluation of segmentation
algorithms. arXiv:1902.09063, 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args, get_type_hints

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from albench.config import Protocol
from albench.data import Raters, register
from albench.datasets._array_files import array_folder, with_arrays
from albench.datasets._choosing import called_organs, with_organs, with_patients, with_raters
from albench.datasets._combining import Combining, Overlap
from albench.datasets._dicom_archive import dicom_archive
from albench.datasets._formats import Arrays, in_array
from albench.datasets._formats.hdf5 import ArrayAxes
from albench.datasets._labels import FOREGROUND, Labels, Target, labels_of_folder, labels_of_organs
from albench.datasets._layout import Layout, read_datalist, read_folder
from albench.datasets._listing import SUFFIXES, read_listing
from albench.datasets._parts import with_parts
from albench.datasets._proposal import left_masks, proposed_rows, rows_of
from albench.datasets._slice_axis import Grid
from albench.datasets._volumes import FOR_SMALL_SLICES, NiftiVolumes
from albench.errors import ConfigError, DataError
from albench.files import is_file, is_folder

_DEEP = 2 * Protocol.interval + 2  # slices of which `protocol.start=interval` labels two that are not at an end
_Millimeters = Annotated[float, Field(gt=0)]
_SMALL = 128  # pixels; 1/16 of a smaller slice is too coarse for segmentation and attention


@register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(NiftiVolumes):
    """Your own volumes: a folder with images and masks, or a CSV, YAML or JSON file that lists them.

    Attributes:
        root: the folder, or the CSV, YAML or JSON file.
        labels: values of the mask that are foreground; None takes the only value above 0 of all masks, or those that
            dataset.json declares. Several labels are one class; in masks of one organ each, they are the organ.
        target: `foreground` is one class; `classes` are those that dataset.json or, without it, segments of DICOM-SEG
            name.
        channels: indices of the volumes of a 4D image that are channels, from 0; None takes all that dataset.json
            declares.
        organs: names of the classes in their order, where each has mask files of its own; None takes all that every
            case has.
        overlap: a voxel in the masks of several organs is rejected, or has the `first` of these organs.
        raters: how several masks of one case become one: a voxel is foreground if more than half of the raters, `any`
            or `all` of them say so; `first` takes the first mask. None rejects them.
        patients: a regular expression with one group, which matches the patient in the name of a case; None takes
            what a list says, or names of BIDS.
        dicom_masks: SEG, RTSTRUCT, or a pattern of the series descriptions of the masks to read from a folder of DICOM;
            None reads all.
        intensity: as in `Dataset`; `auto` follows the modality that dataset.json names.
        h5_image: name of the array with the image in an HDF5 file.
        h5_label: name of the array with the mask.
        h5_axes: axes of the arrays, x to the right, y to the front, z up and c for channels, which masks may lack.
        h5_spacing: size of a voxel of the arrays in millimeters along x, y and z; None assumes 1 mm.
    """

    added: ClassVar[tuple[str, ...]] = (
        *NiftiVolumes.added,
        *("organs", "overlap", "raters", "patients", "dicom_masks"),
        *("h5_image", "h5_label", "h5_axes", "h5_spacing"),
    )
    _given: ClassVar[frozenset[str]] = frozenset()  # of an object: the names of the options that it was made with

    root: str
    labels: tuple[int, ...] | None = None
    target: Target = "foreground"
    channels: tuple[int, ...] | None = None
    organs: tuple[str, ...] | None = None
    overlap: Overlap = "reject"
    raters: Raters | None = None
    patients: str | None = None
    dicom_masks: str | None = None
    intensity: Literal["auto", "volume", "mr", "ct", "none"] = "auto"
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
        """The name of the folder or of the list; that of its folder for dataset.json."""
        path = Path(self.root).resolve()
        if path.name == "dataset.json":
            path = path.parent
        return path.stem if self._is_list or self._is_datalist else path.name

    def defaults(self) -> Mapping[str, object]:
        """A budget, for shallow volumes other initial slices, and for small slices a small network with a fine grid.

        The budget is 2 % of the slices with masks in the training set of the default split, at least 10. Where the
        usual interval has fewer than two slices inside a volume, initial slices are chosen by `protocol.start=inside`.
        """
        volumes = self._layout.checked().volumes.values()
        grids = [_checked(grid) for grid in self._grids.values()]
        depths = np.array([grid.slices(self._axis) for grid in grids])
        depths = depths[[bool(files.masks) for files in volumes]]
        protocol: dict[str, object] = {"protocol.budget": max(10, round(0.014 * depths.sum()))}
        if (depths < _DEEP).any():
            protocol["protocol.start"] = "inside"
        small = max(max(grid.sides(self._axis)) for grid in grids) <= _SMALL
        return protocol | FOR_SMALL_SLICES if small else protocol

    def file_rows(self, images: Sequence[str] = (), masks: Sequence[str] = ()) -> Sequence[Mapping[str, str]]:
        """The files of all cases, or a proposal for those that their names do not pair or that patterns choose."""
        root, chosen = Path(self.root), bool(images or masks)
        if chosen and not is_folder(root):
            raise DataError(f"patterns must choose files of a folder, '{root}' is none: leave them out")
        rows = [] if chosen else rows_of(with_patients(called_organs(self._found, self.organs), self.patients))
        if rows and is_folder(root) and not self._found.listings:
            rows += left_masks(root, self._found)
        if not rows and is_folder(root):
            rows = proposed_rows(root, images, masks)
        if not rows:
            self._found.checked()
        return rows

    @cached_property
    def _is_list(self) -> bool:
        path = Path(self.root)
        return path.suffix.lower() in SUFFIXES and is_file(path)

    @cached_property
    def _is_datalist(self) -> bool:
        path = Path(self.root)
        return path.suffix.lower() == ".json" and is_file(path)

    def _find(self) -> Layout:
        root = Path(self.root)
        archive = dicom_archive(root, self.dicom_masks) if is_folder(root) else None
        if archive is not None:
            return archive
        if self.dicom_masks is not None:
            raise ConfigError(
                f"data.dicom_masks must choose among masks of DICOM that say which series they are of, '{self.root}' "
                "is paired by names or a list: leave it out"
            )
        if self._is_datalist:
            found = read_datalist(root)
        else:
            found = read_listing(root) if self._is_list else array_folder(root) or read_folder(root)
        return with_arrays(found, self.h5_image, self.h5_label)

    def _completed(self, found: Layout) -> Layout:
        numbers = self.labels is not None or self.classes is not None
        named = with_parts(found, by_name=self.organs is not None, by_number=numbers)
        return with_patients(with_raters(with_organs(named, self.organs), self.raters), self.patients)

    def _combining(self) -> Combining:
        return Combining(self.raters, self.overlap)

    def _target(self) -> Labels:
        if self._layout.organs:
            chosen = self.classes is not None or self.target != FOREGROUND
            return labels_of_organs(self._layout.organs, self.labels, chosen=chosen)
        return labels_of_folder(self._found.labels, self.target, self.labels, self._layout.segments)

    def _channels(self) -> tuple[int, ...] | None:
        return self.channels or self._layout.all_channels()

    def _arrays(self) -> Arrays:
        """As the options say."""
        return Arrays(self.h5_axes, self.h5_spacing or Arrays.spacing)

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


def _checked(grid: Grid | DataError) -> Grid:
    """The grid. Raises DataError if its header could not be read."""
    if isinstance(grid, DataError):
        raise grid
    return grid


def _fitting(hint: type[object], value: object, name: str, root: str) -> object:
    """The value of a list in the type of the option; `none` is written as after `--set`. Raises DataError."""
    try:
        given = None if value == "none" and type(None) in get_args(hint) else value
        return TypeAdapter(hint).validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].lower()
        raise DataError(
            f"'{root}' must set {name} to a value of data.{name}, got {value!r} ({rule}): correct it"
        ) from error
