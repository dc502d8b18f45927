"""The base class of datasets of files: cases and volumes from a layout of files and a way of reading."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from albench.data import (
    Axis,
    Dataset,
    FileFacts,
    FileGrid,
    Problem,
    Rule,
    StoredLabels,
    Volume,
    agreement_in_words,
    pooled,
)
from albench.datasets._combining import ONE_MASK, Combining
from albench.datasets._formats import Arrays, files_of
from albench.datasets._labels import EmptySlices, Labels, Values
from albench.datasets._layout import Layout
from albench.datasets._modality import rule_of
from albench.datasets._nifti import Reading, file_grid, grid_of, inspect, load, read_labels, values_of
from albench.datasets._proposal import rows_of
from albench.datasets._slice_axis import AxisChoice, Grid, axis_notes, axis_problems, decide
from albench.errors import ConfigError, DataError, few

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
    """Volumes in files.

    Volumes are brought to the nearest orientation with x to the left, y to the back and z up, then cut along `axis`.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial); `auto` takes the axis along which most volumes
            have their largest spacing, axial where spacings are alike.
        mask_grid: `own` requires masks on the grid of their images, and contours drawn on their series; `image` trusts
            the array or the contours and ignores what the header of the mask says of that.
        classes: the classes by name, each with the values of the mask that belong to it, such as {liver: [1, 2],
            tumor: 3}; other values are background. None leaves the choice to the other options.
        unknown: values of voxels that nobody has labeled; `empty-slices`, also beside values, for the slices of a mask
            in which nothing is drawn.
        unlabeled: `reject` requires a mask for every image; `skip` leaves images without one out; `pool` adds them to
            the training set, where their slices are never queried.
    """

    locations: ClassVar[tuple[str, ...]] = ("root",)

    axis: AxisChoice = "auto"
    mask_grid: Literal["own", "image"] = "own"
    classes: dict[str, int | tuple[int, ...]] | None = None
    unknown: int | EmptySlices | tuple[int | EmptySlices, ...] | None = None
    unlabeled: Literal["reject", "skip", "pool"] = "reject"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1 to K. Raises ConfigError if options or the names in dataset.json do not fit."""
        return self._labels.names

    @property
    def modality(self) -> Rule | None:
        """That of dataset.json."""
        return rule_of(self._found.channel_names)

    @abstractmethod
    def _find(self) -> Layout:
        """The files of the dataset."""

    @abstractmethod
    def _target(self) -> Labels:
        """What the values of a mask mean, unless `classes` says it."""

    def _channels(self) -> tuple[int, ...] | None:
        """As in `Reading`."""
        return None

    def _arrays(self) -> Arrays:
        """As in `Reading`."""
        return Arrays()

    def _combining(self) -> Combining:
        """How several masks of a case become one; every case has one by default."""
        return ONE_MASK

    def _completed(self, found: Layout) -> Layout:
        """The files as the options of the dataset choose them; all by default."""
        return found

    def cases(self) -> Sequence[str]:
        """Names of the volumes, sorted."""
        return sorted(self._layout.checked().volumes)

    def patient(self, case: str) -> str:
        """The patient of a case, where names or a list tell it."""
        return self._layout.patients.get(case, case)

    def has_mask(self, case: str) -> bool:
        """Whether the case has a file with its mask."""
        return self._layout.checked().volumes[case].masks != ()

    def inputs(self) -> Sequence[Path]:
        """All images and masks, and the file that lists them."""
        volumes = self._layout.checked().volumes
        files = [file for case in self.cases() for path in volumes[case].paths for file in files_of(path)]
        files = list(dict.fromkeys(files))  # an HDF5 file has image and mask
        return [*files, *self._layout.listings]

    def load(self, case: str) -> Volume:
        """Read the image and the mask of one case."""
        return load(self._layout.checked().volumes[case], self._reading())

    def file_grid(self, case: str) -> FileGrid:
        """That of the first image of the case."""
        image = self._layout.checked().volumes[case].images[0]
        return file_grid(image, self._channels(), self._arrays(), self._axis)

    def read_labels(self, path: Path) -> StoredLabels:
        """The labels in a file of any format."""
        return read_labels(path, self._arrays())

    def decided(self) -> Mapping[str, object]:
        """The axis, if the spacing decides it."""
        return {"axis": self._axis} if self.axis == "auto" else {}

    def notes(self) -> Sequence[str]:
        """How volumes are cut if not as usual, and what has no labels or is left out.

        That is images without masks or of a test set, and files that are not listed.
        """
        test_images, ignored = self._layout.test_images, len(self._layout.problems)
        blank = sum(not files.masks for files in self._layout.volumes.values())
        notes = [*axis_notes(self._readable_grids, self._axis, by_spacing=self.axis == "auto")]
        if blank:
            notes.append(f"{blank} images have no mask and are only in the training set, without labels")
        if self.unlabeled == "skip":
            notes += self._skipped()
        if test_images:
            notes.append(f"{test_images} images of the official test set have no labels and are left out")
        notes += [f"{ignored} files are left out: albench data check names them"] if ignored else []
        return [*notes, *self.cautions()]

    def _skipped(self) -> Iterator[str]:
        """A sentence about images without mask, if there are some."""
        skipped = [str(files.images[0]) for files in self._found.volumes.values() if not files.masks]
        if skipped:
            yield f"{len(skipped)} images have no mask and are left out, such as '{skipped[0]}'"

    def cautions(self) -> Sequence[str]:
        """How files were paired and cases counted as patients where their names leave a choice, and which names of
        dataset.json are one foreground.
        """
        note = self._labels.note()
        return (*self._layout.told, *([note] if note else []))

    def file_rows(self, images: Sequence[str] = (), masks: Sequence[str] = ()) -> Sequence[Mapping[str, str]]:
        """The files of all cases as they are found, with absolute paths. Patterns are for dataset `folder`."""
        if images or masks:
            raise DataError(
                f"only files of dataset 'folder' are chosen by patterns, this is '{self.name}': leave them out"
            )
        return rows_of(self._found)

    def value_problems(self, values: Sequence[Mapping[int, int]]) -> Iterator[Problem]:
        """The question what several values above 0 mean, which is asked with the values of all masks."""
        if self._labels.open and self._labels.question(self.title, pooled(values)):
            reading = self._reading()
            every = values
            if len(values) < len(self.cases()):
                every = [values_of(files, reading) for files in self._layout.volumes.values()]
            sentence = self._labels.question(self.title, pooled(every))
            assert sentence is not None
            yield Problem(self.title, sentence)

    def label_of(self, value: int, organ: str | None = None) -> int:
        """The label that a value becomes."""
        number = self._labels.of(organ).number(value)
        return number if organ is None or number != 1 else self._labels.names.index(organ) + 1

    def name_of(self, value: int) -> str:
        """The name of a value in dataset.json."""
        return self._labels.called.get(value, "")

    def files_read(self) -> tuple[int, int]:
        """How many images and masks `problems` reads, and of how many cases."""
        volumes = self._layout.volumes.values()
        return len({path for files in volumes for path in files.paths}), len(volumes)

    def pairing(self) -> str:
        """The rule, and the first image with its masks, as seen from the folder of both."""
        first = next((files for files in self._layout.volumes.values() if files.masks), None)
        if first is None or not self._layout.rule:
            return ""
        image, *masks = (str(path) for path in (first.images[0], *(mask.path for mask in first.masks)))
        above = os.path.commonpath([str(Path(path).parent) for path in (image, *masks)])
        named = [f"'{os.path.relpath(path, above)}'" for path in (image, *masks)]
        return f"images and masks are paired {self._layout.rule}, such as {named[0]} with {few(named[1:])}"

    def checked_values(self) -> Sequence[str]:
        """What the values of the masks mean that `problems` has read, and how far raters agree; none before."""
        checked = self._checked
        values = pooled(facts.values for facts in checked.values())
        organs = {
            organ: pooled(facts.organs[organ] for facts in checked.values() if organ in facts.organs)
            for organ in dict.fromkeys(organ for facts in checked.values() for organ in facts.organs)
        }
        found = [f"values of the masks: {self._labels.in_words(values)}"] if values else []
        found += [f"organs of the masks: {self._labels.organs_in_words(organs)}"] if organs else []
        raters = list(agreement_in_words({case: facts.agreement for case, facts in checked.items()}))
        return [*found, *([f"raters: {'; '.join(raters)}"] if raters else [])]

    @cached_property
    def _checked(self) -> dict[str, FileFacts]:
        """What is known of the volumes that `problems` has read, by case."""
        return {}

    def problems(self) -> Iterator[Problem]:
        """Every problem of the folder and its files."""
        yield from self._layout.problems
        yield from (Problem(self.title, sentence, serious=False) for sentence in self.cautions())
        volumes, reading = self._layout.volumes, self._reading()
        found = self._checked
        yield from inspect(self.title, volumes, reading, size=self.size, intensities=self.intensities, facts=found)
        images = {case: files.images[0] for case, files in volumes.items()}
        yield from axis_problems(self.title, self._readable_grids, images, self._axis)

    @cached_property
    def _found(self) -> Layout:
        return self._find()

    @cached_property
    def _layout(self) -> Layout:
        """The files as `unlabeled` wants them."""
        completed = self._completed(self._found)
        if self.unlabeled == "skip":
            return completed.without_blank()
        return completed if self.unlabeled == "pool" else completed.with_masks()

    @cached_property
    def _grids(self) -> dict[str, Grid | DataError]:
        """The grid of every case, or why its header cannot be read."""
        grids: dict[str, Grid | DataError] = {}
        for case, files in self._layout.volumes.items():
            try:
                grids[case] = grid_of(files.images[0], self._channels(), self._arrays())
            except DataError as error:
                grids[case] = error
        return grids

    @cached_property
    def _readable_grids(self) -> dict[str, Grid]:
        return {case: grid for case, grid in self._grids.items() if isinstance(grid, Grid)}

    @cached_property
    def _axis(self) -> Axis:
        """That of all slices."""
        return decide(self._readable_grids.values()) if self.axis == "auto" else self.axis

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
        return Reading(
            self._axis,
            self._labels,
            self._channels(),
            same_grid=self.mask_grid == "own",
            arrays=self._arrays(),
            combining=self._combining(),
        )


def _as_values(values: int | Values | None) -> Values:
    """One value, several or none."""
    return () if values is None else (values,) if isinstance(values, int) else tuple(values)
