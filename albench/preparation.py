"""From volumes to slices on disk: each subject on its own, in as many processes as asked for, then joined.

A subject that is done is kept when preparing is interrupted. A worker holds one volume at a time.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from albench.config import options_of
from albench.crew import Crew
from albench.data import GRID, Dataset, check_volume
from albench.errors import DataError, StoreError
from albench.files import refusing_disk_errors, replacing, write_json
from albench.standardize import fit_to, standardized

FORMAT = 2

Progress = Callable[[int, int, str], None]


def build_set(dataset: Dataset, folder: Path, progress: Progress, workers: int) -> None:
    """Prepare all subjects and rename the complete set to `folder`. One process at a time may call it.

    Raises:
        DataError: a volume cannot be used; the subjects done before it are kept.
        StoreError: the cache cannot be written.
    """
    subjects = list(dataset.subjects())
    if not subjects:
        raise DataError(f"dataset '{dataset.title}' must have subjects, it has none: check where its images lie")
    partial = folder.with_name(f"{folder.name}.partial")
    with refusing_disk_errors(partial):
        (partial / "subjects").mkdir(parents=True, exist_ok=True)
    bases = [partial / "subjects" / str(index) for index in range(len(subjects))]
    todo = [(subject, base) for subject, base in zip(subjects, bases, strict=True) if not _facts_path(base).exists()]
    before = len(subjects) - len(todo)
    progress(before, len(subjects), "")
    with Crew(dataset, workers) as crew:
        for done, (subject, _) in enumerate(crew.each(prepare_subject, todo), before + 1):
            progress(done, len(subjects), subject)
        facts = [SubjectFacts(**json.loads(_facts_path(base).read_text())) for base in bases]
        _check_together(dataset, subjects, facts)
        _join(partial, bases, facts, dataset.size, crew)
    meta = {
        "subjects": subjects,
        "persons": [dataset.person(subject) for subject in subjects],
        "counts": [fact.shape[0] for fact in facts],
        "valid": [fact.shape[2:] for fact in facts],
        "spacing": [fact.spacing for fact in facts],
        "intensity": [fact.intensity for fact in facts],
        "title": dataset.title,
        "options": options_of(dataset),
        "format": FORMAT,
    }
    write_json(partial / "meta.json", meta)
    shutil.rmtree(partial / "subjects")
    partial.rename(folder)


@dataclass(frozen=True)
class SubjectFacts:
    """What is remembered of a prepared subject. Its file is written last, and says that the subject is done.

    Attributes:
        shape: slices, channels, height and width on the working grid.
        spacing: millimeters along z, y, x on the working grid.
        intensity: lowest and highest value of each channel as read.
        foreground: voxels of the mask.
    """

    shape: list[int]
    spacing: list[float]
    intensity: list[list[float]]
    foreground: int


def prepare_subject(dataset: Dataset, subject: str, base: Path) -> None:
    """Read, check, standardize and scale one subject, and write it: slices first, images as float16."""
    volume = dataset.load(subject)
    check_volume(volume, subject, dataset.window)
    intensity = [[float(channel.min()), float(channel.max())] for channel in volume.image]
    volume = standardized(volume, dataset.window)
    if not all(channel.any() for channel in volume.image):
        raise DataError(
            f"subject '{subject}' must have contrast between its 0.5th and 99.5th percentiles, they are equal: set "
            "data.window, for example to its whole range"
        )
    volume = fit_to(volume, dataset.size)
    image = np.ascontiguousarray(volume.image.swapaxes(0, 1), dtype=np.float16)
    parts: tuple[NDArray[Any], ...] = (image, np.ascontiguousarray(volume.mask))
    for path, values in zip(_parts(base), parts, strict=True):
        with replacing(path) as file:
            _write_header(file, values.dtype, values.shape)
            file.write(values.data)  # numpy's own writing of a full disk is an error without a number
    facts = SubjectFacts(list(image.shape), list(volume.spacing), intensity, int(volume.mask.sum(dtype=np.int64)))
    write_json(_facts_path(base), asdict(facts))


def _facts_path(base: Path) -> Path:
    return base.with_suffix(".json")


def _check_together(dataset: Dataset, subjects: Sequence[str], facts: Sequence[SubjectFacts]) -> None:
    """Refuse subjects that are sound one by one and no set together. Raises DataError."""
    if not any(fact.foreground for fact in facts):
        raise DataError(
            f"dataset '{dataset.title}' must have foreground in at least one mask, all {len(facts)} masks are "
            "empty: check the labels asked for"
        )
    for subject, fact in zip(subjects, facts, strict=True):
        if fact.shape[1] != facts[0].shape[1]:
            raise DataError(
                f"all subjects must have the same number of channels, '{subjects[0]}' has {facts[0].shape[1]} and "
                f"'{subject}' {fact.shape[1]}: choose channels that all of them have"
            )


@dataclass(frozen=True)
class _Stack:
    """An array on disk that several processes fill in pieces.

    Attributes:
        path: a .npy file.
        dtype: numpy's name.
        shape: slices first.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def _header(self) -> bytes:
        buffer = io.BytesIO()
        _write_header(buffer, np.dtype(self.dtype), self.shape)
        return buffer.getvalue()

    def _offset(self, row: int) -> int:
        return len(self._header) + row * int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize

    def begun(self) -> bool:
        """Whether the file is there."""
        return self.path.exists() and self.path.stat().st_size == self._offset(self.shape[0])

    def begin(self) -> None:
        """Make the file, without its content."""
        with replacing(self.path) as file:
            file.write(self._header)
            file.truncate(self._offset(self.shape[0]))

    def write(self, row: int, values: NDArray[np.generic], fill: float) -> None:
        """Write slices from `row` on, padded at the bottom and right with `fill`, down to the disk."""
        # Plain writes: with a memory map a full disk would be SIGBUS, not an error.
        short = [full - has for full, has in zip(self.shape[-2:], values.shape[-2:], strict=True)]
        pad = [(0, 0)] * (values.ndim - 2) + [(0, number) for number in short]
        padded = np.pad(values, pad, constant_values=fill) if any(short) else values
        with refusing_disk_errors(self.path), self.path.open("r+b") as file:
            file.seek(self._offset(row))
            file.write(padded.data)
            file.flush()
            os.fsync(file.fileno())


def _join(
    partial: Path, bases: Sequence[Path], facts: Sequence[SubjectFacts], size: tuple[int, int] | None, crew: Crew
) -> None:
    """Move all slices, padded to one shape, into two files. Interrupted, it goes on with those not yet moved."""
    sides = np.array([fact.shape[2:] for fact in facts]).max(0)
    height, width = size or (-(-int(side) // GRID) * GRID for side in sides)
    total, channels = sum(fact.shape[0] for fact in facts), facts[0].shape[1]
    images = _Stack(partial / "images.npy", "float16", (total, channels, height, width))
    masks = _Stack(partial / "masks.npy", "uint8", (total, height, width))
    left = [[part.exists() for part in _parts(base)] for base in bases]
    for stack, there in zip((images, masks), zip(*left, strict=True), strict=True):
        if not stack.begun():
            if not all(there):
                raise StoreError(
                    f"'{partial}' must be as albench left it, files are gone: remove it with albench data clean"
                )
            stack.begin()
    starts = np.cumsum([0, *(fact.shape[0] for fact in facts)]).tolist()
    for _ in crew.each(_move, [(base, start, images, masks) for base, start in zip(bases, starts, strict=False)]):
        pass


def _move(dataset: Dataset, base: Path, row: int, images: _Stack, masks: _Stack) -> None:
    """Put one subject's slices where they belong; what is moved already is gone."""
    image, mask = _parts(base)
    if image.exists():
        values = np.load(image, mmap_mode="r")
        images.write(row, values, fill=float(values.min()))
        image.unlink()
    if mask.exists():
        masks.write(row, np.load(mask, mmap_mode="r"), fill=0)
        mask.unlink()


def _parts(base: Path) -> tuple[Path, Path]:
    """The files of one subject: image and mask."""
    return base.with_suffix(".image.npy"), base.with_suffix(".mask.npy")


def _write_header(file: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
