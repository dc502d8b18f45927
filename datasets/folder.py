"""Your own NIfTI volumes: a folder in the layout of the Decathlon [1] or of nnU-Net, or a list of files.

`imagesTr/` with `labelsTr/`, or `images/` with `masks/`, are paired by `dataset.json` or, without it, by file name. A
CSV or YAML file may list image, mask and subject instead, and set axis, labels, window, size and channels; volumes of
one subject then stay in one part of the split.

[1] Simpson et al. A large annotated medical image dataset for the development and evaluation of segmentation
algorithms. arXiv:1902.09063, 2019.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from albench.data import Dataset, Problem, Volume, register
from albench.datasets._layout import Layout, read_folder
from albench.datasets._listing import SUFFIXES, read_listing
from albench.datasets._nifti import Axis, Reading, inspect, load, shape_of
from albench.errors import DataError

_SMALL = 128  # pixels; 1/16 of a smaller slice is too coarse to segment or to attend over


@register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """Your own NIfTI volumes: a folder with images and masks, or a CSV or YAML file that lists them.

    Volumes are turned to the nearest orientation with x to the left, y to the back and z up, then cut along `axis`.

    Attributes:
        root: the folder, or the CSV or YAML file.
        axis: how slices lie: across x (sagittal), y (coronal) or z (axial).
        labels: values of the mask that are foreground; None takes every value above 0. Several labels are one target;
            a run for each label in turn treats them one against the rest.
        channels: which volumes of a 4D image are channels, from 0; None takes all that dataset.json declares.
        mask_grid: `own` asks for masks on the grid of their images; `image` trusts the array and ignores the mask's
            header.
    """

    locations: ClassVar[tuple[str, ...]] = ("root",)

    root: str
    axis: Axis = "axial"
    labels: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    mask_grid: Literal["own", "image"] = "own"

    def __post_init__(self) -> None:
        """Take the options that a listing sets, where the user has not set them."""
        for name, value in self._layout.options.items() if self._is_listing else ():
            (field,) = (field for field in dataclasses.fields(self) if field.name == name)
            if getattr(self, name) == field.default:
                object.__setattr__(self, name, _fitting(value, name, self.root))

    @property
    def title(self) -> str:
        """The name of the folder or of the list."""
        path = Path(self.root).resolve()
        return path.stem if self._is_listing else path.name

    def subjects(self) -> Sequence[str]:
        """File names without suffix, or what the list calls them, sorted."""
        return sorted(self._layout.checked().volumes)

    def person(self, subject: str) -> str:
        """The subject that a list names for the volume."""
        return self._layout.persons.get(subject, subject)

    def inputs(self) -> Sequence[Path]:
        """All images and masks, and the list or dataset.json."""
        volumes = self._layout.checked().volumes
        files = [path for subject in self.subjects() for path in (*volumes[subject].images, volumes[subject].mask)]
        return [*files, *self._layout.listings]

    def load(self, subject: str) -> Volume:
        """Read one image and its mask."""
        return load(self._layout.checked().volumes[subject], self._reading)

    def defaults(self) -> Mapping[str, object]:
        """A budget and, for small slices, a small network with a fine grid.

        The budget is 2 % of the slices that the default split trains on, at least 10.
        """
        volumes = self._layout.checked().volumes.values()
        depths, *sides = np.array([shape_of(files.images[0], self._reading) for files in volumes]).T
        budget = {"protocol.budget": max(10, round(0.014 * depths.sum()))}
        small = max(side.max() for side in sides) <= _SMALL
        return budget | FOR_SMALL_SLICES if small else budget

    def notes(self) -> Sequence[str]:
        """How many images without labels are left out."""
        count = self._layout.unlabeled
        return [f"{count} images of the official test set have no labels and are left out"] if count else []

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong with the folder and its files."""
        yield from self._layout.problems
        yield from inspect(self._layout.volumes, self._reading)

    @cached_property
    def _is_listing(self) -> bool:
        path = Path(self.root)
        return path.suffix in SUFFIXES and path.is_file()

    @cached_property
    def _layout(self) -> Layout:
        return read_listing(Path(self.root)) if self._is_listing else read_folder(Path(self.root))

    @property
    def _reading(self) -> Reading:
        declared = self._layout.modalities
        return Reading(
            axis=self.axis,
            labels=self.labels,
            declared=self._layout.declared,
            channels=self.channels or (tuple(range(declared)) if declared > 1 else None),
            same_grid=self.mask_grid == "own",
        )


_FIT: Mapping[str, Callable[[object], object]] = {
    "axis": TypeAdapter(Axis).validate_python,
    "labels": TypeAdapter(tuple[int, ...]).validate_python,
    "channels": TypeAdapter(tuple[int, ...]).validate_python,
    "window": TypeAdapter(tuple[float, float]).validate_python,
    "size": TypeAdapter(tuple[int, int]).validate_python,
}

FOR_SMALL_SLICES: dict[str, object] = {
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


def _fitting(value: object, name: str, root: str) -> object:
    try:
        return _FIT[name](value)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].lower()
        raise DataError(f"'{root}' must set {name} as data.{name} is set, got {value!r} ({rule}): mend it") from error
