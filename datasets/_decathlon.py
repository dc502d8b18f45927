"""What the ten tasks of the Decathlon share; the tasks themselves are in `decathlon.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from albench.data import Archive, downloads_folder
from albench.datasets._archive import located, public_archive, unpacked
from albench.datasets._layout import Layout, read_folder
from albench.datasets._nifti import Reading
from albench.datasets._volumes import NiftiVolumes
from albench.errors import DataError


@dataclass(frozen=True)
class Task:
    """What is special about a task, beside its options.

    Attributes:
        folder: its name in the Decathlon.
        settings: what suits it, as `Dataset.defaults`.
    """

    folder: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decathlon(NiftiVolumes):
    """One task of the Medical Segmentation Decathlon.

    Attributes:
        root: the unpacked folder, the .tar, or the folder that holds one of them; None looks where downloads are put.
        labels: values of the mask that are foreground. Several labels are one target; a run for each label in turn
            treats them one against the rest.
        channels: which channels of the image are read, from 0; None reads all.
    """

    task: ClassVar[Task]

    root: str | None = None
    labels: tuple[int, ...] = (1,)
    channels: tuple[int, ...] | None = None

    def defaults(self) -> Mapping[str, object]:
        """The protocol of the task."""
        return self.task.settings

    def archive(self) -> Archive | None:
        """MONAI's copy of the task; None if the task is there already."""
        if located(self.task.folder, self._root):
            return None
        return public_archive(self.task.folder, self._root)

    @property
    def _root(self) -> Path:
        return downloads_folder() if self.root is None else Path(self.root)

    def _find(self) -> Layout:
        task, place = self.task.folder, located(self.task.folder, self._root)
        if place is None:
            raise DataError(
                f"'{self._root}' must hold the folder {task} or its archive {task}.tar of http://medicaldecathlon.com, "
                f"it has neither: run `albench data prepare {self.name} --download`, put one there, or say where it is "
                "with --data-root"
            )
        return read_folder(place if place.is_dir() else unpacked(place, task))

    def _reading(self) -> Reading:
        channels = self.channels or self._layout.all_channels()
        return Reading(axis=self.axis, labels=self.labels, channels=channels, same_grid=self.mask_grid == "own")
