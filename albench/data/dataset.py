"""What a dataset is: cases with an image and a binary mask each, cut into slices, split by case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from albench.data.paths import downloads_folder
from albench.errors import ConfigError, DataError
from albench.masks import PackedMasks
from albench.registry import DATASETS, register

__all__ = [
    "Archive",
    "Dataset",
    "LabeledStack",
    "Problem",
    "SliceStack",
    "Split",
    "Volume",
    "downloads_folder",
    "register",
]

GRID = 16  # the encoder halves the image four times


@dataclass(frozen=True)
class Volume:
    """One case, z first: slices are `image[:, z]` and `mask[z]`.

    Attributes:
        image: (c, d, h, w) float32, any intensity range.
        mask: (d, h, w) uint8, 1 where the target is.
        spacing: millimeters between voxels along z, y, x.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class Archive:
    """A public file that a dataset is unpacked from.

    Attributes:
        url: where it is fetched.
        md5: what its content must hash to.
        path: where it is put.
    """

    url: str
    md5: str
    path: Path


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a dataset.

    Attributes:
        file: the file, or the folder if a file is missing.
        sentence: the rule, the value and the remedy.
        serious: the dataset is refused because of it; otherwise it is only worth a look.
    """

    file: str
    sentence: str
    serious: bool = True


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A source of volumes. A subclass is a frozen dataclass: its fields are the options of `--set data.*`.

    Attributes:
        size: working height and width in pixels, multiples of 16. Every slice is scaled to fit, its proportions in
            millimeters kept, and padded at the bottom and right. None keeps the pixels of the files.
        window: intensities are clipped to this range; None clips each volume to its 0.5th and 99.5th percentiles.
            Then each volume gets mean 0 and standard deviation 1.
    """

    group: ClassVar[str] = DATASETS
    name: ClassVar[str]
    locations: ClassVar[tuple[str, ...]] = ()  # options that say where the data are, not what they are

    size: tuple[int, int] | None = None
    window: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """The name under which results are filed."""
        return self.name

    @abstractmethod
    def cases(self) -> Sequence[str]:
        """Names of all cases, sorted."""

    @abstractmethod
    def load(self, case: str) -> Volume:
        """Read one case. Raises DataError naming the file, the rule and the remedy."""

    def patient(self, case: str) -> str:
        """Whose volume it is. Volumes of one patient stay in one part of the split; by default there is one each."""
        return case

    def inputs(self) -> Sequence[Path]:
        """The files whose content decides what `load` returns; empty for generated data."""
        return ()

    def defaults(self) -> Mapping[str, object]:
        """Settings that suit these data, such as {"protocol.budget": 50}; the user's own come after them."""
        return {}

    def archive(self) -> Archive | None:
        """What `albench data prepare --download` fetches; None when the data are there already.

        Raises:
            DataError: there is no public archive.
        """
        raise DataError(
            f"a dataset must have a public archive to be downloaded, '{self.name}' has none: leave --download out"
        )

    def notes(self) -> Sequence[str]:
        """What a user should know about the set as it was found, such as volumes that are left out."""
        return ()

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong with the files, not only the first. By default what `load` complains about."""
        for case in self.cases():
            try:
                check_volume(self.load(case), case, self.window)
            except DataError as error:
                yield Problem(case, str(error))


@dataclass(frozen=True)
class SliceStack:
    """The slices of some cases, sorted by case and position. The id of a slice is its row.

    Attributes:
        images: (N, c, H, W) float16, the whole prepared set, memory-mapped and read-only.
        rows: (n,) where in `images` each slice of this stack lies.
        case: (n,) index into `cases`.
        position: (n,) z within the case, from 0.
        valid: (n, 2) height and width of the part that is not padding; it starts at the top left.
        cases: names.
        spacing: (s, 3) millimeters along z, y, x of each case, on the working grid.
    """

    images: NDArray[np.float16]
    rows: NDArray[np.int64]
    case: NDArray[np.int64]
    position: NDArray[np.int64]
    valid: NDArray[np.int64]
    cases: tuple[str, ...]
    spacing: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every slice, padding included."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def of(self, case: int) -> NDArray[np.int64]:
        """Ids of one case's slices, in order of position."""
        return np.flatnonzero(self.case == case)

    def label(self, slice_id: int) -> str:
        """How messages name a slice."""
        name = self.cases[self.case[slice_id]]
        return f"slice {slice_id} (case {name}, position {self.position[slice_id]})"


@dataclass(frozen=True)
class LabeledStack:
    """A stack together with its truth, for validation and test; never for the pool.

    It holds a copy of these cases' masks and of no others, so that whoever has the validation set has no way to
    the truth of the pool.

    Attributes:
        slices: the images.
        truth: {id: (H, W) mask} of every slice.
    """

    slices: SliceStack
    truth: PackedMasks

    def masks(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, H, W) masks of the given slices."""
        return self.truth.stack(ids)


@dataclass(frozen=True)
class Split:
    """Which cases are trained on, validated on and tested on."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def split_volumes(cases: Sequence[str], patients: Sequence[str], parts: tuple[float, float, float], seed: int) -> Split:
    """Deal out volumes so that those of one patient stay together; `parts` are shares or numbers of patients.

    Args:
        patients: (s,) whose volume each case is.

    Raises:
        ConfigError: as `split_cases`.
    """
    dealt = split_cases(sorted(set(patients)), parts, seed)
    volumes = sorted(zip(cases, patients, strict=True))
    train, val, test = (
        tuple(case for case, patient in volumes if patient in part) for part in (dealt.train, dealt.val, dealt.test)
    )
    return Split(train, val, test)


def split_cases(cases: Sequence[str], parts: tuple[float, float, float], seed: int) -> Split:
    """Sort, shuffle with `seed`, and deal out cases for training, validation and test.

    Args:
        parts: shares that sum to 1 (train and validation are rounded down, the test set takes the rest), or numbers
            of cases; with numbers, cases that are left over are not used.

    Raises:
        ConfigError: a part would be empty, or more cases are asked for than there are.
    """
    total = len(cases)
    if np.isclose(sum(parts), 1.0):
        train, val = (int(part * total + 1e-9) for part in parts[:2])
        val = max(val, 1)
        counts = (train, val, total - train - val)
    elif all(float(part).is_integer() for part in parts):
        counts = (int(parts[0]), int(parts[1]), int(parts[2]))
    else:
        raise ConfigError(
            f"protocol.split must be three shares that sum to 1 or three numbers of cases, got {list(parts)}: "
            "write for example [0.7,0.15,0.15] or [28,6,7]"
        )
    if min(counts) < 1 or sum(counts) > total:
        raise ConfigError(
            f"protocol.split must give each of train, validation and test at least one of the {total} cases, "
            f"{list(parts)} gives {list(counts)}: add cases or change protocol.split"
        )
    order = [sorted(cases)[i] for i in np.random.default_rng(seed).permutation(total)]
    first, second, third = counts
    return Split(
        train=tuple(sorted(order[:first])),
        val=tuple(sorted(order[first : first + second])),
        test=tuple(sorted(order[first + second : first + second + third])),
    )


def check_volume(volume: Volume, case: str, window: tuple[float, float] | None = None) -> None:
    """Refuse a volume that cannot be benchmarked, with the window it will be clipped to. Raises DataError."""
    image, mask = volume.image, volume.mask
    if image.ndim != 4 or mask.ndim != 3 or 0 in image.shape:
        raise DataError(
            f"case '{case}' must be a 3D image (c, d, h, w) with a 3D mask (d, h, w), got {image.shape} and "
            f"{mask.shape}: leave out 2D files"
        )
    if image.shape[1:] != mask.shape:
        raise DataError(
            f"case '{case}' must have a mask of its image's shape, got {mask.shape} for {image.shape[1:]}: "
            "resample the mask on the image's grid"
        )
    ranges = [(float(channel.min()), float(channel.max())) for channel in image]
    if not np.isfinite(ranges).all():
        bad = int(image.size - np.isfinite(image).sum())
        raise DataError(
            f"case '{case}' must have finite intensities, {bad} voxels are NaN or infinite: repair or leave "
            "out the volume"
        )
    for low, high in ranges:
        if low == high:
            raise DataError(
                f"case '{case}' must have contrast, {low:g} is the intensity of all its voxels: repair or leave "
                "out the volume"
            )
        if window and (high <= window[0] or low >= window[1]):
            raise DataError(
                f"case '{case}' must have intensities within data.window {list(window)}, it has {low:g} to "
                f"{high:g}: choose a window that they lie in"
            )
    if (mask > 1).any():
        raise DataError(f"case '{case}' must have a mask of 0 and 1, got values up to {mask.max()}")
    if min(volume.spacing) <= 0 or not np.isfinite(volume.spacing).all():
        raise DataError(f"case '{case}' must have a positive voxel spacing, got {volume.spacing} mm")
