"""The ten tasks of the Medical Segmentation Decathlon [1], named after their organs.

`albench data prepare NAME --download` fetches MONAI's copy. The official test images have no labels and are left out;
the labeled ones are split into training, validation and test set. If a task has several labels, they are one class
or, with `data.target=classes`, one class each; `data.labels` selects some of them. The page of the challenge,
medicaldecathlon.com, gives the license of all tasks: CC BY-SA 4.0.

Spleen follows the STAR paper [2]: every 10th slice labeled initially, then 50 per round, batches of 16, ResNet-50,
512 x 512 pixels, 28, 6 and 7 volumes. The protocols of the other tasks are chosen by albench: about 2 % of the training
slices per round.

Differences from the paper: it does not state the window of intensities; [-57, 164] HU is that of MONAI's spleen
tutorial. It does not state over what it normalizes; here each volume gets mean 0 and standard deviation 1 after
clipping, so that the prepared data do not depend on the split. [-175, 250] HU for the other organs of the abdomen is
that of MONAI's tutorials on them; [-1000, 400] HU for the lung is chosen by albench. Numbers of volumes are those of
the archives, which differ from the page of the challenge for the hippocampus (263).

[1] Antonelli et al. The Medical Segmentation Decathlon. Nature Communications 13:4128, 2022.
[2] Ma et al. STAR. MICCAI 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from albench.config import PAPER_STOP
from albench.data import Archive, PublishedSize, downloads_folder, register
from albench.datasets._archive import located, public_archive, unpacked
from albench.datasets._labels import Labels, Target, labels_of_folder
from albench.datasets._layout import Layout, read_folder
from albench.datasets._slice_axis import AxisChoice
from albench.datasets._volumes import FOR_SMALL_SLICES, NiftiVolumes
from albench.errors import MissingDataError

_ABDOMEN = (-175.0, 250.0)  # HU


@dataclass(frozen=True)
class Task:
    """The properties of a task that are not options.

    Attributes:
        folder: its name in the Decathlon.
        settings: that suit it, as in `Dataset.defaults`.
        published: its size with the default options, as in `Dataset.published_size`.
    """

    folder: str
    settings: Mapping[str, object] = field(default_factory=dict)
    published: PublishedSize | None = None


@dataclass(frozen=True, kw_only=True)
class Decathlon(NiftiVolumes):
    """One task of the Medical Segmentation Decathlon.

    Attributes:
        root: the unpacked folder, the .tar, or the folder that contains one of them; None takes that of the downloads.
        labels: values of the mask that are foreground. Several labels are one class.
        target: `foreground` is one class; `classes` are those that dataset.json names.
        channels: indices of the channels of the image to read, from 0; None reads all.
    """

    task: ClassVar[Task]

    axis: AxisChoice = "axial"
    root: str | None = None
    labels: tuple[int, ...] = (1,)
    target: Target = "foreground"
    channels: tuple[int, ...] | None = None

    def defaults(self) -> Mapping[str, object]:
        """The protocol of the task."""
        return self.task.settings

    def published_size(self) -> PublishedSize | None:
        """That of the task, of axial slices, if it is known."""
        published = self.task.published
        if published is None or self.axis != "axial":
            return None
        channels, height, width = published.shape
        height, width = self.size or (height, width)
        return replace(published, shape=(len(self.channels or range(channels)), height, width))

    def archive(self) -> Archive | None:
        """MONAI's copy of the task; None if the task is already present."""
        if located(self.task.folder, self._root):
            return None
        return public_archive(self.task.folder, self._root)

    @property
    def _root(self) -> Path:
        return downloads_folder() if self.root is None else Path(self.root)

    def _find(self) -> Layout:
        task, place = self.task.folder, located(self.task.folder, self._root)
        if place is None:
            raise MissingDataError(
                f"'{self._root}' must contain the folder {task} or its archive {task}.tar of "
                f"http://medicaldecathlon.com, it has neither: run `albench data prepare {self.name} --download`, or "
                "give its place with --data-root"
            )
        return read_folder(place if place.is_dir() else unpacked(place, task))

    def _target(self) -> Labels:
        return labels_of_folder(self._found.labels, self.target, self.labels)

    def _channels(self) -> tuple[int, ...] | None:
        return self.channels or self._layout.all_channels()


def _settings(budget: int, batch: int) -> dict[str, object]:
    return {"protocol.interval": 10, "protocol.budget": budget, "training.batch_size": batch}


@register("brain-tumor")
@dataclass(frozen=True, kw_only=True)
class BrainTumor(Decathlon):
    """Decathlon, whole brain tumor in MRI: 484 volumes of FLAIR, T1, T1 with contrast, T2.

    Labels are 1 edema, 2 non-enhancing tumor, 3 enhancing tumor.
    """

    task: ClassVar[Task] = Task(
        "Task01_BrainTumour",
        _settings(1000, 32),
        PublishedSize(484, 484 * 155, (4, 240, 240), "of volumes of BraTS with 155 slices each"),
    )
    labels: tuple[int, ...] = (1, 2, 3)
    size: tuple[int, int] | None = (240, 240)


@register("heart")
@dataclass(frozen=True, kw_only=True)
class Heart(Decathlon):
    """Decathlon, left atrium in MRI: 20 volumes."""

    task: ClassVar[Task] = Task("Task02_Heart", _settings(30, 16))
    size: tuple[int, int] | None = (320, 320)


@register("liver")
@dataclass(frozen=True, kw_only=True)
class Liver(Decathlon):
    """Decathlon, liver with its tumors in CT: 131 volumes.

    Labels are 1 liver, 2 tumor.
    """

    task: ClassVar[Task] = Task("Task03_Liver", _settings(800, 16))
    labels: tuple[int, ...] = (1, 2)
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = _ABDOMEN


@register("hippocampus")
@dataclass(frozen=True, kw_only=True)
class Hippocampus(Decathlon):
    """Decathlon, hippocampus in MRI: 260 small volumes.

    Labels are 1 anterior, 2 posterior.
    """

    task: ClassVar[Task] = Task(
        "Task04_Hippocampus",
        FOR_SMALL_SLICES | {"protocol.budget": 130},
        PublishedSize(260, 260 * 36, (1, 64, 48), "counted in 104 of its volumes, which have 36 slices on average"),
    )
    labels: tuple[int, ...] = (1, 2)


@register("prostate")
@dataclass(frozen=True, kw_only=True)
class Prostate(Decathlon):
    """Decathlon, whole prostate in MRI: 32 volumes of T2 and ADC.

    Labels are 1 peripheral zone, 2 transition zone.
    """

    task: ClassVar[Task] = Task("Task05_Prostate", _settings(10, 16))
    labels: tuple[int, ...] = (1, 2)
    size: tuple[int, int] | None = (320, 320)


@register("lung")
@dataclass(frozen=True, kw_only=True)
class Lung(Decathlon):
    """Decathlon, lung tumors in CT: 63 volumes."""

    task: ClassVar[Task] = Task("Task06_Lung", _settings(250, 16))
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = (-1000.0, 400.0)


@register("pancreas")
@dataclass(frozen=True, kw_only=True)
class Pancreas(Decathlon):
    """Decathlon, pancreas with its tumors in CT: 281 volumes.

    Labels are 1 pancreas, 2 tumor.
    """

    task: ClassVar[Task] = Task("Task07_Pancreas", _settings(360, 16))
    labels: tuple[int, ...] = (1, 2)
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = _ABDOMEN


@register("hepatic-vessel")
@dataclass(frozen=True, kw_only=True)
class HepaticVessel(Decathlon):
    """Decathlon, vessels of the liver in CT: 303 volumes.

    Labels are 1 vessel, 2 tumor.
    """

    task: ClassVar[Task] = Task("Task08_HepaticVessel", _settings(290, 16))
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = _ABDOMEN


@register("spleen")
@dataclass(frozen=True, kw_only=True)
class Spleen(Decathlon):
    """Decathlon, spleen in CT: 41 volumes, with the protocol of the STAR paper."""

    task: ClassVar[Task] = Task(
        "Task09_Spleen",
        _settings(50, 16) | {"protocol.split": [28, 6, 7], "network.backbone": "resnet50"} | PAPER_STOP,
        PublishedSize(41, 3650, (1, 512, 512), "counted by the STAR paper, 2,525 + 644 + 481", archive=3 << 29),
    )
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = (-57.0, 164.0)


@register("colon")
@dataclass(frozen=True, kw_only=True)
class Colon(Decathlon):
    """Decathlon, colon cancer in CT: 126 volumes."""

    task: ClassVar[Task] = Task("Task10_Colon", _settings(190, 16))
    size: tuple[int, int] | None = (512, 512)
    window: tuple[float, float] | None = _ABDOMEN
