"""The base class of datasets of NIfTI files: cases and volumes from a layout of files and a way of reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from albench.data import Dataset, Problem, Volume, pooled
from albench.datasets._labels import EmptySlices, Labels, Values
from albench.datasets._layout import Layout
from albench.datasets._nifti import Axis, Reading, inspect, load, values_of
from albench.errors import ConfigError

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

_CHOOSE_TARGET = ("classes", "target", "labels")


@dataclass(frozen=True, kw_only=True)
class NiftiVolumes(Dataset):
    """Volumes in NIfTI files.

    Volumes are brought to the nearest orientation with x to the left, y to the back and z up, then cut along `axis`.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial).
        mask_grid: `own` requires masks on the grid of their images; `image` trusts the array and ignores the header of
            the mask.
        classes: the classes by name, each with the values of the mask that belong to it, such as {liver: [1, 2],
            tumor: 3}; other values are background. None leaves the choice to the other options.
        unknown: values of voxels that nobody has labeled; `empty-slices`, also beside values, for the slices of a mask
            in which nothing is drawn.
        unlabeled: `reject` requires a mask for every image; `pool` adds images without one to the training set, where
            their slices are never queried.
    """

    locations: ClassVar[tuple[str, ...]] = ("root",)

    axis: Axis = "axial"
    mask_grid: Literal["own", "image"] = "own"
    classes: dict[str, int | tuple[int, ...]] | None = None
    unknown: int | EmptySlices | tuple[int | EmptySlices, ...] | None = None
    unlabeled: Literal["reject", "pool"] = "reject"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1 to K. Raises ConfigError if options or the names in dataset.json do not fit."""
        return self._labels.names

    @abstractmethod
    def _find(self) -> Layout:
        """The files of the dataset."""

    @abstractmethod
    def _target(self) -> Labels:
        """What the values of a mask mean, unless `classes` says it."""

    def _channels(self) -> tuple[int, ...] | None:
        """As in `Reading`."""
        return None

    def cases(self) -> Sequence[str]:
        """Names of the volumes, sorted."""
        return sorted(self._layout.checked().volumes)

    def patient(self, case: str) -> str:
        """The patient of a case, where names or a list tell it."""
        return self._layout.patients.get(case, case)

    def has_mask(self, case: str) -> bool:
        """Whether the case has a file with its mask."""
        return self._layout.checked().volumes[case].mask is not None

    def inputs(self) -> Sequence[Path]:
        """All images and masks, and the file that lists them."""
        volumes = self._layout.checked().volumes
        files = [path for case in self.cases() for path in volumes[case].paths]
        return [*files, *self._layout.listings]

    def load(self, case: str) -> Volume:
        """Read the image and the mask of one case."""
        return load(self._layout.checked().volumes[case], self._reading())

    def notes(self) -> Sequence[str]:
        """What has no labels or is left out: images without masks or of a test set, and files that are not listed."""
        test_images, ignored = self._layout.test_images, len(self._layout.problems)
        blank = sum(files.mask is None for files in self._layout.volumes.values())
        notes = [f"{blank} images have no mask and are only in the training set, without labels"] if blank else []
        if test_images:
            notes.append(f"{test_images} images of the official test set have no labels and are left out")
        notes += [note for note in (self._labels.note(),) if note]
        return [*notes, f"{ignored} files are left out: albench data check names them"] if ignored else notes

    def value_problems(self, values: Sequence[Mapping[int, int]]) -> Iterator[Problem]:
        """The question what several values above 0 mean, which is asked with the values of all masks."""
        if self._labels.open and self._labels.question(self.title, pooled(values)):
            masks = [files.mask for files in self._layout.volumes.values() if files.mask is not None]
            every = values if len(values) == len(self.cases()) else list(map(values_of, masks))
            sentence = self._labels.question(self.title, pooled(every))
            assert sentence is not None
            yield Problem(self.title, sentence)

    def label_of(self, value: int) -> int:
        """The label that a value becomes."""
        return self._labels.number(value)

    def name_of(self, value: int) -> str:
        """The name of a value in dataset.json."""
        return self._labels.called.get(value, "")

    def checked_values(self) -> Sequence[str]:
        """What the values of the masks mean that `problems` has read, in a sentence; none before."""
        values = pooled(self._checked_values.values())
        return [f"values of the masks: {self._labels.in_words(values)}"] if values else []

    @cached_property
    def _checked_values(self) -> dict[str, Mapping[int, int]]:
        """Voxels by value of the masks that `problems` has read, by case."""
        return {}

    def problems(self) -> Iterator[Problem]:
        """Every problem of the folder and its files."""
        yield from self._layout.problems
        volumes, reading = self._layout.volumes, self._reading()
        yield from inspect(
            self.title, volumes, reading, size=self.size, window=self.window, values=self._checked_values
        )
        note = self._labels.note()
        if note:
            yield Problem(self.title, note, serious=False)

    @cached_property
    def _found(self) -> Layout:
        return self._find()

    @cached_property
    def _layout(self) -> Layout:
        """The files as `unlabeled` wants them."""
        return self._found if self.unlabeled == "pool" else self._found.with_masks()

    @cached_property
    def _labels(self) -> Labels:
        chosen = [field for field in fields(self) if field.name in _CHOOSE_TARGET]
        chosen = [field for field in chosen if getattr(self, field.name) != field.default]
        if len(chosen) > 1:
            raise ConfigError(
                f"the target must be chosen by one option, got data.{chosen[0].name} and data.{chosen[1].name}: leave "
                "one of them out"
            )
        labels = self._target()
        if self.classes is not None:
            classes = tuple((name, _as_values(values)) for name, values in self.classes.items())
            labels = replace(labels, classes=classes, declared=frozenset(), joined=())
        # a value that the user counts to a class is known, whatever dataset.json calls it
        unknown = tuple(value for value in labels.unknown if value not in labels.given)
        given = self.unknown if isinstance(self.unknown, tuple) else (self.unknown,)
        more = tuple(value for value in given if isinstance(value, int))
        return replace(labels, unknown=(*unknown, *more), empty_slices="empty-slices" in given).checked()

    def _reading(self) -> Reading:
        """How files become volumes."""
        return Reading(self.axis, self._labels, self._channels(), same_grid=self.mask_grid == "own")


def _as_values(values: int | Values | None) -> Values:
    """One value, several or none."""
    return () if values is None else (values,) if isinstance(values, int) else tuple(values)
