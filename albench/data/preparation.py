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
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from albench.config import options_of
from albench.data.dataset import GRID, Dataset, check_volume
from albench.data.preprocessing import fit_to, standardized
from albench.data.workers import Crew
from albench.errors import DataError, StoreError
from albench.files import refusing_disk_errors, replacing, write_json
from albench.training.memory import give_back

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
    paths = [partial / "subjects" / f"{index}.slices" for index in range(len(subjects))]
    todo = [(subject, path) for subject, path in zip(subjects, paths, strict=True) if not path.exists()]
    before = len(subjects) - len(todo)
    progress(before, len(subjects), "")
    with Crew(dataset, workers) as crew:
        for done, (subject, _) in enumerate(crew.each(prepare_subject, todo), before + 1):
            progress(done, len(subjects), subject)
        facts = [_read_facts(path)[0] for path in paths]
        _check_together(dataset, subjects, facts)
        _join(partial, paths, facts, dataset.size, crew)
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
    """What is remembered of a prepared subject: the first line of its file, which exists when the subject is done.

    The slices follow, first of the image in float16, then of the mask in uint8, until they are moved to the others'.

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


def prepare_subject(dataset: Dataset, subject: str, path: Path) -> None:
    """Read, check, standardize and scale one subject, and write it to a file."""
    volume = dataset.load(subject)
    give_back()  # what reading needed, or it adds to what standardizing needs
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
    mask = np.ascontiguousarray(volume.mask)
    facts = SubjectFacts(list(image.shape), list(volume.spacing), intensity, int(mask.sum(dtype=np.int64)))
    with replacing(path) as file:
        file.write(json.dumps(asdict(facts)).encode() + b"\n")
        for values in (image, mask):
            file.write(values.data)  # numpy's own writing of a full disk is an error without a number


def _read_facts(path: Path) -> tuple[SubjectFacts, int]:
    """What is remembered of a subject, and where in its file the slices begin."""
    with path.open("rb") as file:
        return SubjectFacts(**json.loads(file.readline())), file.tell()


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
    partial: Path, paths: Sequence[Path], facts: Sequence[SubjectFacts], size: tuple[int, int] | None, crew: Crew
) -> None:
    """Move all slices, padded to one shape, into two files. Interrupted, it goes on with those not yet moved."""
    sides = np.array([fact.shape[2:] for fact in facts]).max(0)
    height, width = size or (-(-int(side) // GRID) * GRID for side in sides)
    total, channels = sum(fact.shape[0] for fact in facts), facts[0].shape[1]
    images = _Stack(partial / "images.npy", "float16", (total, channels, height, width))
    masks = _Stack(partial / "masks.npy", "uint8", (total, height, width))
    if not (images.begun() and masks.begun()):
        if not all(_is_whole(path) for path in paths):
            raise StoreError(
                f"'{partial}' must be as albench left it, files are gone: remove it with albench data clean"
            )
        images.begin()
        masks.begin()
    starts = np.cumsum([0, *(fact.shape[0] for fact in facts)]).tolist()
    for _ in crew.each(_move, [(path, start, images, masks) for path, start in zip(paths, starts, strict=False)]):
        pass


def _move(dataset: Dataset, path: Path, row: int, images: _Stack, masks: _Stack) -> None:
    """Put one subject's slices where they belong, unless they are there already."""
    if not _is_whole(path):
        return
    facts, begin = _read_facts(path)
    depth, _, height, width = shape = tuple(facts.shape)
    image = np.memmap(path, np.float16, "r", begin, shape)
    images.write(row, image, fill=float(image.min()))
    masks.write(row, np.memmap(path, np.uint8, "r", begin + image.nbytes, (depth, height, width)), fill=0)
    os.truncate(path, begin)


def _is_whole(path: Path) -> bool:
    """Whether a subject's file still holds its slices."""
    return path.stat().st_size > _read_facts(path)[1]


def _write_header(file: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
