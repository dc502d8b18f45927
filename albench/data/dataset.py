"""What a dataset is: cases with an image and a mask each, from files or generated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from albench.data.file_grid import FileGrid, StoredLabels
from albench.data.intensities import Clip, Intensities, Rule
from albench.data.memory import check_memory
from albench.data.problems import CaseSummary, Problem, check_case, set_problems
from albench.data.published_size import PublishedSize
from albench.data.slices import GRID
from albench.data.volume import Volume
from albench.errors import ConfigError, DataError
from albench.masks import MOST_CLASSES
from albench.names import check_name
from albench.registry import DATASETS, Plugin, options_of

_PIXEL = 8  # bytes: one channel and the mask, both in float32 while they are scaled


@dataclass(frozen=True)
class Archive:
    """A public file that a dataset is unpacked from.

    Attributes:
        url: where it is published.
        md5: checksum of its content.
        path: where it is stored.
    """

    url: str
    md5: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Dataset(Plugin, ABC):
    """A source of volumes. A subclass is a frozen dataclass: its fields are the options of `--set data.*`.

    Attributes:
        size: working height and width in pixels, multiples of 16. Every slice is scaled to fit, its proportions in
            millimeters kept, and padded at the bottom and right. None keeps the pixels of the files.
        window: intensities are clipped to this range; None clips each volume to percentiles. Then each volume gets mean
            0 and standard deviation 1.
        clip: these percentiles, such as [0.5, 99.9]; `none` does not clip. `auto` takes the 0.5th and the 99.5th, but
            does not clip an `mr` volume with padding.
        intensity: voxels whose percentiles, mean and standard deviation are taken: `volume` all, `mr` those that are
            not padding with zeros or the lowest value, `ct` those above -1024 Hounsfield units. `none` keeps images
            that are normalized already. `auto` follows the modality where the dataset knows it, otherwise `volume`.
        context: slices below and above that the network gets as further channels; 0 gives it each slice alone.
    """

    group: ClassVar[str] = DATASETS
    locations: ClassVar[tuple[str, ...]] = ()  # options that say where the data are, not what they are
    views: ClassVar[tuple[str, ...]] = ("context",)  # options that say what is seen of the prepared data
    added: ClassVar[tuple[str, ...]] = ("clip", "intensity")  # options of later versions, see `hashed_options`

    size: tuple[int, int] | None = None
    window: tuple[float, float] | None = None
    clip: Clip = "auto"
    intensity: Literal["auto", "volume", "mr", "ct", "none"] = "volume"
    context: Annotated[int, Field(ge=0, le=100)] = 0

    @property
    def title(self) -> str:
        """The name under which results are stored."""
        return self.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1 to K of the masks; one class, the foreground, by default."""
        return ("foreground",)

    @property
    def modality(self) -> Rule | None:
        """The rule that suits what the images are, for `intensity=auto`; None if it is not known."""
        return None

    @property
    def intensities(self) -> Intensities:
        """What the options say about intensities."""
        rule = (self.modality or "volume") if self.intensity == "auto" else self.intensity
        return Intensities(self.window, self.clip, rule)

    def hashed_options(self) -> dict[str, object]:
        """All options as JSON values, by which prepared data and runs are named.

        Those that were left to the data have their `decided` values. Those that were `added` are left out where they
        have their default, so that names of earlier versions hold.
        """
        usual = {field.name: field.default for field in fields(self) if field.name in self.added}
        kept = options_of(self).items()
        mentioned = {name: value for name, value in kept if name not in usual or getattr(self, name) != usual[name]}
        return mentioned | dict(self.decided())

    @abstractmethod
    def cases(self) -> Sequence[str]:
        """Names of all cases, sorted."""

    @abstractmethod
    def load(self, case: str) -> Volume:
        """Read one case. Raises DataError naming the file, the rule and the remedy."""

    def patient(self, case: str) -> str:
        """The patient of a case. All cases of a patient are in one part of the split; by default each has its own."""
        return case

    def has_mask(self, case: str) -> bool:
        """Whether any label of a case is known. A case without mask is UNKNOWN everywhere and only used in training."""
        return True

    def inputs(self) -> Sequence[Path]:
        """The files whose content decides what `load` returns; empty for generated data."""
        return ()

    def defaults(self) -> Mapping[str, object]:
        """Settings that suit these data, such as {"protocol.budget": 50}; the user's settings override them."""
        return {}

    def decided(self) -> Mapping[str, object]:
        """Options that were left to the data, with the values that these led to, such as {"axis": "sagittal"}.

        Prepared data and runs are named after the decided values, which records and `albench data info` tell.
        """
        return {}

    def archive(self) -> Archive | None:
        """What `albench data prepare --download` fetches; None if the data are already present.

        Raises:
            DataError: there is no public archive.
        """
        raise DataError(
            f"a dataset must have a public archive to be downloaded, '{self.name}' has none: leave --download out"
        )

    def published_size(self) -> PublishedSize | None:
        """The size with these options as it was published, by which a suite is planned without the data.

        None if it is not known. A dataset that has one raises MissingDataError in `cases` if its files are not there.
        """
        return None

    def notes(self) -> Sequence[str]:
        """What a user should know about the dataset as it was found, such as volumes that are left out."""
        return ()

    def cautions(self) -> Sequence[str]:
        """Sentences about what was guessed and may make results wrong. A run tells them when it starts."""
        return ()

    def file_rows(self, images: Sequence[str] = (), masks: Sequence[str] = ()) -> Sequence[Mapping[str, str]]:
        """The files of the cases as rows of a CSV that dataset `folder` reads: image, mask and patient.

        Args:
            images: patterns that say which files are images, each one channel; none leaves it to the names.
            masks: likewise.

        Raises:
            DataError: the dataset does not consist of such files.
        """
        raise DataError(
            f"only a dataset of files can be listed, '{self.name}' is generated or has others: choose another"
        )

    def file_grid(self, case: str) -> FileGrid:
        """The voxels of a case as its file has them. By default it is loaded, and its slices count as axial.

        Raises:
            DataError: as `load`.
        """
        volume = self.load(case)
        depth, height, width = volume.mask.shape
        return FileGrid.of_stack((depth, height, width), volume.spacing)

    def read_labels(self, path: Path) -> StoredLabels:
        """The labels in a file that somebody has drawn. Raises DataError: it cannot be read or has no labels."""
        raise DataError(
            f"only a dataset of files reads what people have drawn, '{self.name}' is generated or read otherwise: "
            "choose one of files, such as folder"
        )

    def value_problems(self, values: Sequence[Mapping[int, int]]) -> Iterator[Problem]:
        """What must be decided about the values in the files of the masks. By default, nothing.

        Args:
            values: voxels by value in each mask that has been read, of some of the cases or of all.
        """
        yield from ()

    def files_read(self) -> tuple[int, int]:
        """How many files `problems` reads, and of how many cases."""
        return len(self.inputs()), len(self.cases())

    def pairing(self) -> str:
        """By which rule masks belong to images, in one sentence with the first pair; empty if that is not told."""
        return ""

    def checked_values(self) -> Sequence[str]:
        """What the values mean in the masks that `problems` has read, and how far raters agree; nothing by default."""
        return ()

    def label_of(self, value: int, organ: str | None = None) -> int:
        """The label that a value in the file of a mask becomes: 0, the number of a class, or UNKNOWN.

        Args:
            organ: the one whose mask it is, if each has masks of its own.
        """
        return value

    def name_of(self, value: int) -> str:
        """The name of a value in the file of a mask, where the files give it one; otherwise empty."""
        return ""

    def problems(self) -> Iterator[Problem]:
        """Every problem of every case and of all cases together. By default, all volumes are loaded and checked."""
        cases, classes, summaries = self.cases(), self.class_names, []
        for case in cases:
            try:
                volume = self.load(case)
                clipped = check_case(volume, case, classes, self.intensities)
            except DataError as error:
                yield Problem(case, str(error))
                continue
            summaries.append(CaseSummary.of(volume, case, case, self.size, len(classes), clipped))
        if summaries or not cases:
            yield from set_problems(self.title, classes, summaries, size=self.size, intensities=self.intensities)


def check_options(dataset: Dataset) -> None:
    """Reject options that no data can satisfy.

    Raises:
        DataError: a slice of the working size does not fit into memory.
        ConfigError: the working size does not fit the network's grid, the window is empty or reversed, there is no
            class, there are too many or two of one name, or a name has characters that are not printed.
    """
    if dataset.size and any(side < GRID or side % GRID for side in dataset.size):
        raise ConfigError(
            f"data.size must be two multiples of {GRID}, got {list(dataset.size)}: write for example "
            "--set 'data.size=[96,128]'"
        )
    if dataset.size:
        height, width = dataset.size
        check_memory(
            _PIXEL * height * width, f"a slice of data.size={list(dataset.size)}", "choose a smaller data.size"
        )
    if dataset.window and not dataset.window[0] < dataset.window[1]:
        raise ConfigError(
            f"data.window must be two numbers, the lower first, got {list(dataset.window)}: write for example "
            "--set 'data.window=[-57,164]'"
        )
    if isinstance(dataset.clip, tuple) and not 0 <= dataset.clip[0] < dataset.clip[1] <= 100:
        raise ConfigError(
            f"data.clip must be two percentiles from 0 to 100, the lower first, got {list(dataset.clip)}: write for "
            "example --set 'data.clip=[0.5,99.5]', or none"
        )
    check_name("a dataset", dataset.title)
    names = dataset.class_names
    for name in names:
        check_name("a class", name)
    if not 1 <= len(names) <= MOST_CLASSES:
        raise ConfigError(
            f"a dataset must have 1 to {MOST_CLASSES} classes, '{dataset.title}' has {len(names)}: name the structures "
            "to segment, and join some of them if there are more"
        )
    reserved = [name for name in names if not name.strip() or name == "all"]
    if reserved:
        raise ConfigError(
            f"a class must have a name other than 'all', which stands for all classes, got '{reserved[0]}': rename it"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"every class must have a name of its own, '{repeated[0]}' names two of dataset '{dataset.title}': rename "
            "one, or join their values"
        )


def check_case_names(dataset: Dataset) -> None:
    """Reject cases and patients whose names have characters that are not printed. Raises ConfigError."""
    for case in dataset.cases():
        check_name("a case", case)
        check_name("a patient", dataset.patient(case))
