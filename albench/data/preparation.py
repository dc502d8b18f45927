"""From volumes to slices on disk: each case on its own, in one or several processes, then all in two arrays.

Finished cases are kept when preparation is interrupted. A worker holds one volume at a time.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from albench.data.dataset import Dataset
from albench.data.label_counts import LabelCounts
from albench.data.marks import make_marked
from albench.data.preprocessing import fit_to, standardized
from albench.data.problems import CaseSummary, Problem, set_problems
from albench.data.slices import GRID
from albench.data.volume import check_volume
from albench.data.workers import WorkerPool
from albench.errors import DataError, StoreError
from albench.files import atomic_write, translate_os_errors, write_json
from albench.machine import trim_memory
from albench.registry import options_of

FORMAT = 4  # of a prepared set; part of its key, so that a set of another format is prepared anew

Progress = Callable[[int, int, str], None]  # cases done, cases in all, name of the last case


def build_set(dataset: Dataset, folder: Path, progress: Progress, workers: int) -> None:
    """Prepare all cases and rename the complete set to `folder`. Only one process at a time may call it.

    Args:
        workers: processes that read volumes; 1 reads in this process.

    Raises:
        DataError: a volume, or all together, cannot be used; finished cases are kept.
        StoreError: the cache cannot be written.
    """
    cases = list(dataset.cases())
    if not cases:
        _raise_first(set_problems(dataset.title, dataset.class_names, []))
    partial = folder.with_name(f"{folder.name}.partial")
    make_marked(partial)
    with translate_os_errors(partial):
        (partial / "cases").mkdir(exist_ok=True)
    paths = [partial / "cases" / f"{index}.slices" for index in range(len(cases))]
    todo = [(case, path) for case, path in zip(cases, paths, strict=True) if not path.exists()]
    before = len(cases) - len(todo)
    progress(before, len(cases), "")
    with WorkerPool(dataset, workers) as worker_pool:
        for done, (case, _) in enumerate(worker_pool.each(prepare_case, todo), before + 1):
            progress(done, len(cases), case)
        facts = [_read_facts(path)[0] for path in paths]
        pairs = zip(cases, facts, strict=True)
        summaries = [CaseSummary(case, case, fact.shape[1], fact.labels) for case, fact in pairs]
        _raise_first(set_problems(dataset.title, dataset.class_names, summaries))
        _join(partial, paths, facts, dataset.size, worker_pool)
    meta = {
        "cases": cases,
        "patients": [dataset.patient(case) for case in cases],
        "counts": [fact.shape[0] for fact in facts],
        "valid": [fact.shape[2:] for fact in facts],
        "spacing": [fact.spacing for fact in facts],
        "intensity": [fact.intensity for fact in facts],
        "classes": dataset.class_names,
        "unknown": [fact.labels.unknown for fact in facts],
        "title": dataset.title,
        "options": options_of(dataset),
        "format": FORMAT,
    }
    write_json(partial / "meta.json", meta)
    shutil.rmtree(partial / "cases")
    partial.rename(folder)


@dataclass(frozen=True)
class CaseFacts:
    """The first line of the file of a prepared case, which exists when the case is finished.

    The slices follow, first of the image in float16, then of the mask in uint8, until they are moved to the arrays of
    the whole set.

    Attributes:
        shape: slices, channels, height and width on the working grid.
        spacing: millimeters along z, y, x on the working grid.
        intensity: lowest and highest value of each channel as read.
        labels: of the mask on the working grid.
    """

    shape: list[int]
    spacing: list[float]
    intensity: list[list[float]]
    labels: LabelCounts


def prepare_case(dataset: Dataset, case: str, path: Path) -> None:
    """Read, check, standardize and scale one case, and write it to a file."""
    volume = dataset.load(case)
    trim_memory()  # the peak of reading would otherwise add to that of standardizing
    check_volume(volume, case, dataset.window, dataset.class_names)
    intensity = [[float(channel.min()), float(channel.max())] for channel in volume.image]
    volume = standardized(volume, case, dataset.window)
    volume = fit_to(volume, dataset.size)
    image = np.ascontiguousarray(volume.image.swapaxes(0, 1), dtype=np.float16)
    mask = np.ascontiguousarray(volume.mask)
    labels = LabelCounts.of(mask, len(dataset.class_names))
    facts = CaseFacts(list(image.shape), list(volume.spacing), intensity, labels)
    with atomic_write(path) as file:
        file.write(json.dumps(asdict(facts)).encode() + b"\n")
        for values in (image, mask):
            file.write(values.data)  # on a full disk, numpy's own writing raises an error without a number


def _read_facts(path: Path) -> tuple[CaseFacts, int]:
    """The first line of a case's file, and the offset of its slices in bytes."""
    with path.open("rb") as file:
        content = json.loads(file.readline())
        labels = content["labels"] | {"classes": tuple(content["labels"]["classes"])}
        return CaseFacts(**content | {"labels": LabelCounts(**labels)}), file.tell()


def _raise_first(problems: Iterable[Problem]) -> None:
    """Raise the first serious problem."""
    for problem in problems:
        if problem.serious:
            raise DataError(problem.sentence)


@dataclass(frozen=True)
class _Stack:
    """An array on disk that several processes fill part by part.

    Attributes:
        path: a .npy file.
        dtype: its name in numpy.
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

    def exists(self) -> bool:
        """Whether the file exists in its full size."""
        return self.path.exists() and self.path.stat().st_size == self._offset(self.shape[0])

    def create(self) -> None:
        """Create the file in its full size, without content."""
        with atomic_write(self.path) as file:
            file.write(self._header)
            file.truncate(self._offset(self.shape[0]))

    def write(self, row: int, values: NDArray[np.generic], fill: float) -> None:
        """Write slices from `row` on, padded at the bottom and right with `fill`, and flush them to the disk."""
        # Plain writes: with a memory map, a full disk would end the process with SIGBUS.
        short = [full - has for full, has in zip(self.shape[-2:], values.shape[-2:], strict=True)]
        pad = [(0, 0)] * (values.ndim - 2) + [(0, number) for number in short]
        padded = np.pad(values, pad, constant_values=fill) if any(short) else values
        with translate_os_errors(self.path), self.path.open("r+b") as file:
            file.seek(self._offset(row))
            file.write(padded.data)
            file.flush()
            os.fsync(file.fileno())


def _join(
    partial: Path,
    paths: Sequence[Path],
    facts: Sequence[CaseFacts],
    size: tuple[int, int] | None,
    worker_pool: WorkerPool,
) -> None:
    """Move all slices, padded to one shape, into two files; after an interruption, only those not yet moved."""
    sides = np.array([fact.shape[2:] for fact in facts]).max(0)
    height, width = size or (-(-int(side) // GRID) * GRID for side in sides)
    total, channels = sum(fact.shape[0] for fact in facts), facts[0].shape[1]
    images = _Stack(partial / "images.npy", "float16", (total, channels, height, width))
    masks = _Stack(partial / "masks.npy", "uint8", (total, height, width))
    if not (images.exists() and masks.exists()):
        if not all(_is_whole(path) for path in paths):
            raise StoreError(
                f"'{partial}' must hold all files of an interrupted preparation, some are missing: remove it with "
                "albench data clean"
            )
        images.create()
        masks.create()
    starts = np.cumsum([0, *(fact.shape[0] for fact in facts)]).tolist()
    for _ in worker_pool.each(
        _move, [(path, start, images, masks) for path, start in zip(paths, starts, strict=False)]
    ):
        pass


def _move(dataset: Dataset, path: Path, row: int, images: _Stack, masks: _Stack) -> None:
    """Move the slices of one case to the arrays of the whole set, unless that is done already."""
    if not _is_whole(path):
        return
    facts, offset = _read_facts(path)
    depth, _, height, width = shape = tuple(facts.shape)
    image = np.memmap(path, np.float16, "r", offset, shape)
    images.write(row, image, fill=float(image.min()))
    masks.write(row, np.memmap(path, np.uint8, "r", offset + image.nbytes, (depth, height, width)), fill=0)
    os.truncate(path, offset)


def _is_whole(path: Path) -> bool:
    """Whether the file of a case still holds its slices."""
    return path.stat().st_size > _read_facts(path)[1]


def _write_header(file: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
