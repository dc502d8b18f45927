"""The base class of datasets of NIfTI files: cases and volumes from a layout of files and a way of reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from albench.data import Dataset, Problem, Volume
from albench.datasets._layout import Layout
from albench.datasets._nifti import Axis, Reading, inspect, load

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


@dataclass(frozen=True, kw_only=True)
class NiftiVolumes(Dataset):
    """Volumes in NIfTI files.

    Volumes are brought to the nearest orientation with x to the left, y to the back and z up, then cut along `axis`.

    Attributes:
        axis: slices lie across x (sagittal), y (coronal) or z (axial).
        mask_grid: `own` requires masks on the grid of their images; `image` trusts the array and ignores the header of
            the mask.
    """

    locations: ClassVar[tuple[str, ...]] = ("root",)

    axis: Axis = "axial"
    mask_grid: Literal["own", "image"] = "own"

    @abstractmethod
    def _find(self) -> Layout:
        """The files of the dataset."""

    @abstractmethod
    def _reading(self) -> Reading:
        """How files become volumes."""

    def cases(self) -> Sequence[str]:
        """Names of the volumes, sorted."""
        return sorted(self._layout.checked().volumes)

    def patient(self, case: str) -> str:
        """The patient of a case, where names or a list tell it."""
        return self._layout.patients.get(case, case)

    def inputs(self) -> Sequence[Path]:
        """All images and masks, and the file that lists them."""
        volumes = self._layout.checked().volumes
        files = [path for case in self.cases() for path in (*volumes[case].images, volumes[case].mask)]
        return [*files, *self._layout.listings]

    def load(self, case: str) -> Volume:
        """Read the image and the mask of one case."""
        return load(self._layout.checked().volumes[case], self._reading())

    def notes(self) -> Sequence[str]:
        """What is left out: images of a test set without labels, and files that are not listed."""
        unlabeled, ignored = self._layout.unlabeled, len(self._layout.problems)
        notes = [f"{unlabeled} images of the official test set have no labels and are left out"] if unlabeled else []
        return [*notes, f"{ignored} files are left out: albench data check names them"] if ignored else notes

    def problems(self) -> Iterator[Problem]:
        """Every problem of the folder and its files."""
        yield from self._layout.problems
        volumes, reading = self._layout.volumes, self._reading()
        yield from inspect(self.title, volumes, reading, size=self.size, window=self.window)

    @cached_property
    def _layout(self) -> Layout:
        return self._find()
