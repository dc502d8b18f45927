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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from albench.data.as_read import AsRead
from albench.data.checksums import Checksum
from albench.data.dataset import Dataset
from albench.data.intensities import ClippedTarget
from albench.data.label_counts import LabelCounts
from albench.data.marks import is_mark, make_marked
from albench.data.own_grid import OwnGridFacts, OwnGrids
from albench.data.padding import padded_to
from albench.data.preprocessing import fit_to, standardized
from albench.data.problems import CaseSummary, Problem, set_problems
from albench.data.stored_set import IMAGES, MASKS, META, OWN_MASKS, write_meta
from albench.data.volume import check_volume
from albench.data.workers import WorkerPool
from albench.errors import DataError, StoreError
from albench.files import atomic_write, translate_os_errors
from albench.machine import trim_memory

FORMAT = 5  # of a prepared set; part of its key, so that a set of another format is prepared anew

Progress = Callable[[int, int, str], None]  # cases done, cases in all, name of the last case


def build_set(dataset: Dataset, folder: Path, progress: Progress, workers: int, unchanged: Callable[[], bool]) -> None:
    """Prepare all cases and rename the complete set to `folder`, where a damaged one may be.

    Only one process at a time may call it. An interrupted preparation is continued if all that it made is there.

    Args:
        workers: processes that read volumes; 1 reads in this process.
        unchanged: asked in the end whether the files of the dataset are still those that `folder` is named after.

    Raises:
        DataError: a volume, or all together, cannot be used, or files were changed meanwhile; finished cases are kept
            unless files were changed.
        StoreError: the cache cannot be written, or does not return what was written.
    """
    _make_room(folder)
    cases = list(dataset.cases())
    if not cases:
        _raise_first(set_problems(dataset.title, dataset.class_names, []))
    partial = folder.with_name(f"{folder.name}.partial")
    paths = [partial / "cases" / f"{index}.slices" for index in range(len(cases))]
    with translate_os_errors(partial):
        files = _kept(partial, paths, dataset.size)
        if files is None:
            shutil.rmtree(partial)
            files = {}
        make_marked(partial)
        (partial / "cases").mkdir(exist_ok=True)
    todo = [(case, path) for case, path in zip(cases, paths, strict=True) if path not in files]
    before = len(cases) - len(todo)
    progress(before, len(cases), "")
    values = [file.facts.read.values for file in files.values()]
    _raise_first(dataset.value_problems(values))
    with WorkerPool(dataset, workers) as worker_pool:
        for done, (case, path) in enumerate(worker_pool.each(prepare_case, todo), before + 1):
            files[path] = _CaseFile.read(path)
            values.append(files[path].facts.read.values)
            _raise_first(dataset.value_problems(values))  # before hours of reading
            progress(done, len(cases), case)
        facts = [files[path].facts for path in paths]
        pairs = zip(cases, facts, strict=True)
        summaries = [CaseSummary(case, case, fact.shape[1], fact.labels, fact.shape[2:]) for case, fact in pairs]
        _raise_first(set_problems(dataset.title, dataset.class_names, summaries))
        stacks = _stacks(partial, facts, dataset.size)
        _join(paths, facts, stacks, worker_pool)
        _check_written(partial, cases, facts, stacks, worker_pool)
        _join_own_grids(partial, cases, paths, facts)
    meta = {
        "cases": cases,
        "patients": [dataset.patient(case) for case in cases],
        "counts": [fact.shape[0] for fact in facts],
        "valid": [fact.shape[2:] for fact in facts],
        "spacing": [fact.spacing for fact in facts],
        "intensity": [fact.intensity for fact in facts],
        "classes": dataset.class_names,
        "unknown": [fact.labels.unknown for fact in facts],
        "labels": [asdict(fact.labels) for fact in facts],
        "read": [asdict(fact.read) for fact in facts],
        "checksums": [asdict(fact.checksum) for fact in facts],
        "clipped": [asdict(fact.clipped) for fact in facts],
        "rule": dataset.intensities.rule,
        "title": dataset.title,
        "options": dataset.hashed_options(),
        "format": FORMAT,
    }
    if dataset.size is not None:
        meta["own_grids"] = [fact.own_grid and asdict(fact.own_grid) for fact in facts]
    if not unchanged():
        shutil.rmtree(partial)
        raise DataError(
            f"the files of '{dataset.title}' must stay as they are while they are prepared, some were changed: run the "
            "same command again"
        )
    write_meta(partial, meta)
    with translate_os_errors(folder):
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
        checksum: of the slices, made before they are written.
        clipped: what clipping does to the target.
        own_grid: facts about the mask on the grid of its file, which has a file of its own; None if it is not scaled.
        read: the case before.
    """

    shape: list[int]
    spacing: list[float]
    intensity: list[list[float]]
    labels: LabelCounts
    checksum: Checksum
    clipped: ClippedTarget
    read: AsRead
    own_grid: OwnGridFacts | None = None

    @property
    def size(self) -> int:
        """Bytes of the slices of image and mask."""
        depth, channels, height, width = self.shape
        return depth * height * width * (2 * channels + 1)


def prepare_case(dataset: Dataset, case: str, path: Path) -> None:
    """Read, check, standardize and scale one case, and write it to a file."""
    volume = dataset.load(case)
    trim_memory()  # the peak of reading would otherwise add to that of standardizing
    check_volume(volume, case, dataset.window, dataset.class_names)
    read = AsRead.of(volume)
    intensity = [[float(channel.min()), float(channel.max())] for channel in volume.image]
    volume, clipped = standardized(volume, case, dataset.intensities)
    own, volume = volume, fit_to(volume, dataset.size)
    own_grid = None
    if volume is not own:
        own_grid, content = OwnGridFacts.of(own, volume)
        with atomic_write(_own_path(path)) as file:
            file.write(content)
    del own
    image = np.ascontiguousarray(volume.image.swapaxes(0, 1), dtype=np.float16)
    mask = np.ascontiguousarray(volume.mask)
    labels = LabelCounts.of(mask, len(dataset.class_names))
    checksum = Checksum.of(image, mask)
    facts = CaseFacts(list(image.shape), list(volume.spacing), intensity, labels, checksum, clipped, read, own_grid)
    with atomic_write(path) as file:
        file.write(json.dumps(asdict(facts)).encode() + b"\n")
        for values in (image, mask):
            file.write(values.data)  # on a full disk, numpy's own writing raises an error without a number


@dataclass(frozen=True)
class _CaseFile:
    """The file of a prepared case.

    Attributes:
        path: of the file.
        facts: its first line.
        offset: of the slices in bytes.
    """

    path: Path
    facts: CaseFacts
    offset: int

    @classmethod
    def read(cls, path: Path) -> _CaseFile:
        """Read the first line. Raises ValueError, LookupError or TypeError if it is not that of a case."""
        with path.open("rb") as file:
            content = json.loads(file.readline())
            made = {
                "labels": LabelCounts.from_json(content["labels"]),
                "checksum": Checksum(**content["checksum"]),
                "clipped": ClippedTarget(**content["clipped"]),
                "read": AsRead.from_json(content["read"]),
                "own_grid": content["own_grid"] and OwnGridFacts.read(content["own_grid"]),
            }
            return cls(path, CaseFacts(**content | made), file.tell())

    def is_whole(self) -> bool:
        """Whether the file still holds its slices. Raises ValueError if it holds a part of them."""
        held = self.path.stat().st_size - self.offset
        if held not in (0, self.facts.size):
            raise ValueError(f"{held} bytes of {self.facts.size}")
        return held > 0

    def has_own_grid(self) -> bool:
        """Whether the mask on the grid of its file is there, if the case needs it."""
        own_grid = self.facts.own_grid
        return own_grid is None or _own_path(self.path).stat().st_size == own_grid.length


def _own_path(path: Path) -> Path:
    """The file of the mask of a case on the grid of its file, beside that of its slices."""
    return path.with_suffix(".own")


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
    def header(self) -> bytes:
        """The first bytes of the file."""
        buffer = io.BytesIO()
        _write_header(buffer, np.dtype(self.dtype), self.shape)
        return buffer.getvalue()

    def _offset(self, row: int) -> int:
        return len(self.header) + row * int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize

    def exists(self) -> bool:
        """Whether the file exists in its full size."""
        return self.path.exists() and self.path.stat().st_size == self._offset(self.shape[0])

    def create(self) -> None:
        """Create the file in its full size, without content."""
        with atomic_write(self.path) as file:
            file.write(self.header)
            file.truncate(self._offset(self.shape[0]))

    def read(self) -> NDArray[Any]:
        """A memory map of the whole array."""
        return np.memmap(self.path, self.dtype, "r", self._offset(0), self.shape)

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


def _stacks(partial: Path, facts: Sequence[CaseFacts], size: tuple[int, int] | None) -> tuple[_Stack, _Stack]:
    """The arrays of images and masks of the whole set, which need not exist yet."""
    height, width = padded_to(np.array([fact.shape[2:] for fact in facts]), size)
    total, channels = sum(fact.shape[0] for fact in facts), facts[0].shape[1]
    return (
        _Stack(partial / IMAGES, "float16", (total, channels, height, width)),
        _Stack(partial / MASKS, "uint8", (total, height, width)),
    )


def _kept(partial: Path, paths: Sequence[Path], size: tuple[int, int] | None) -> dict[Path, _CaseFile] | None:
    """The files of the cases that an interrupted preparation finished; none if nothing was prepared.

    None if something is missing: a file of a case is cut, or what was moved from one is not in the arrays of the set.
    """
    try:
        files = {path: _CaseFile.read(path) for path in paths if path.exists()}
        moved = [not file.is_whole() for file in files.values()]
        if not all(file.has_own_grid() for file in files.values()):
            return None
        facts = [file.facts for file in files.values()]
        if any(moved) and not (
            len(files) == len(paths) and all(stack.exists() for stack in _stacks(partial, facts, size))
        ):
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return files


def _join(
    paths: Sequence[Path], facts: Sequence[CaseFacts], stacks: tuple[_Stack, _Stack], worker_pool: WorkerPool
) -> None:
    """Move all slices, padded to one shape, into two files; after an interruption, only those not yet moved."""
    if not all(stack.exists() for stack in stacks):
        for stack in stacks:
            stack.create()
    jobs = [(path, start, *stacks) for path, start in zip(paths, _starts(facts), strict=True)]
    for _ in worker_pool.each(_move, jobs):
        pass


def _starts(facts: Sequence[CaseFacts]) -> list[int]:
    """The first row of each case in the arrays."""
    ends = np.cumsum([fact.shape[0] for fact in facts])
    return [int(end) - fact.shape[0] for end, fact in zip(ends, facts, strict=True)]


def _move(dataset: Dataset, path: Path, row: int, images: _Stack, masks: _Stack) -> None:
    """Move the slices of one case to the arrays of the whole set, unless that is done already."""
    file = _CaseFile.read(path)
    if not file.is_whole():
        return
    depth, _, height, width = shape = tuple(file.facts.shape)
    image = np.memmap(path, np.float16, "r", file.offset, shape)
    images.write(row, image, fill=float(image.min()))
    masks.write(row, np.memmap(path, np.uint8, "r", file.offset + image.nbytes, (depth, height, width)), fill=0)
    os.truncate(path, file.offset)


def _join_own_grids(partial: Path, cases: Sequence[str], paths: Sequence[Path], facts: Sequence[CaseFacts]) -> None:
    """Copy the masks on the grids of their files into one, and compare each with its checksum."""
    own = [fact.own_grid for fact in facts]
    if not any(own):
        return
    stack = _Stack(partial / OWN_MASKS, "uint8", (sum(grid.length for grid in own if grid),))
    with translate_os_errors(stack.path), atomic_write(stack.path) as file:
        file.write(stack.header)
        for path, grid in zip(paths, own, strict=True):
            if grid:
                file.write(_own_path(path).read_bytes())
    written = OwnGrids(own, stack.read())
    for index, case in enumerate(cases):
        if not written.fits(index):
            shutil.rmtree(partial)
            raise StoreError(_read_differently(partial, case))


def _read_differently(partial: Path, case: str) -> str:
    """The sentence about a case that the disk does not return as it was written."""
    return (
        f"'{partial}' must return what was written, case '{case}' is read back differently: check the disk, or choose "
        "another with ALBENCH_CACHE"
    )


def _check_written(
    partial: Path,
    cases: Sequence[str],
    facts: Sequence[CaseFacts],
    stacks: tuple[_Stack, _Stack],
    worker_pool: WorkerPool,
) -> None:
    """Compare every volume in the arrays with its checksum; if one differs, nothing of the preparation is kept."""
    jobs = [(case, fact, start, *stacks) for case, fact, start in zip(cases, facts, _starts(facts), strict=True)]
    try:
        for _ in worker_pool.each(_compare, jobs):
            pass
    except StoreError:
        shutil.rmtree(partial)
        raise


def _compare(dataset: Dataset, case: str, facts: CaseFacts, start: int, images: _Stack, masks: _Stack) -> None:
    """Raise StoreError if the slices of a case, read from the arrays, are not those that were prepared."""
    rows = slice(start, start + facts.shape[0])
    height, width = facts.shape[2:]
    if not facts.checksum.fits(images.read()[rows], masks.read()[rows], (height, width)):
        raise StoreError(_read_differently(images.path.parent, case))


def _make_room(folder: Path) -> None:
    """Remove the files of a damaged set. Raises StoreError if there is anything else in the folder."""
    if folder.is_symlink():
        raise StoreError(f"'{folder}' must be a whole prepared set, it is a link to a damaged one: remove the link")
    if not folder.is_dir():
        return
    others = [
        path.name
        for path in folder.iterdir()
        if path.name not in (IMAGES, MASKS, OWN_MASKS, META) and not is_mark(path)
    ]
    if others:
        raise StoreError(
            f"'{folder}' must hold a prepared set only, it is damaged and also holds '{min(others)}': move that away"
        )
    with translate_os_errors(folder):
        shutil.rmtree(folder)


def _write_header(file: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
