"""From volumes to slices on disk: each subject on its own, in as many processes as asked for, then joined.

A subject that is done is kept when preparing is interrupted. A worker holds one volume at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from albench.config import options_of
from albench.data import GRID, Dataset, check_volume
from albench.errors import DataError
from albench.files import refusing_disk_errors, replacing, write_json
from albench.registry import DATASETS, address, find
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
    for done, subject in enumerate(_prepared(dataset, todo, workers), before + 1):
        progress(done, len(subjects), subject)
    facts = [SubjectFacts(**json.loads(_facts_path(base).read_text())) for base in bases]
    _check_together(dataset, subjects, facts)
    _join(partial, bases, facts, dataset.size)
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
    check_volume(volume, subject)
    intensity = [[float(channel.min()), float(channel.max())] for channel in volume.image]
    volume = fit_to(standardized(volume, dataset.window), dataset.size)
    image = np.ascontiguousarray(volume.image.swapaxes(0, 1), dtype=np.float16)
    for suffix, values in (("image", image), ("mask", np.ascontiguousarray(volume.mask))):
        with replacing(base.with_suffix(f".{suffix}.npy")) as file:
            _write_header(file, values.dtype, values.shape)
            file.write(values.data)  # numpy's own writing of a full disk is an error without a number
    facts = SubjectFacts(list(image.shape), list(volume.spacing), intensity, int(volume.mask.sum(dtype=np.int64)))
    write_json(_facts_path(base), asdict(facts))


def _facts_path(base: Path) -> Path:
    return base.with_suffix(".json")


def _prepared(dataset: Dataset, todo: list[tuple[str, Path]], workers: int) -> Iterator[str]:
    """Prepare what is left to do; yields each subject when it is done."""
    if workers == 1 or len(todo) < 2:
        for subject, base in todo:
            prepare_subject(dataset, subject, base)
            yield subject
        return
    # Fresh processes: a fork of one that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    arguments = (address(type(dataset)), pickle.dumps(dataset))
    with ProcessPoolExecutor(min(workers, len(todo)), context, _begin_worker, arguments) as pool:
        tasks = {pool.submit(_work, subject, base): subject for subject, base in todo}
        try:
            for task in as_completed(tasks):
                task.result()
                yield tasks[task]
        except BrokenProcessPool as error:
            raise DataError(
                "a worker must have the memory of a few volumes, the system ended one: use fewer with --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_worker: list[Dataset] = []  # the dataset that this worker process reads


def _begin_worker(place: str, pickled: bytes) -> None:
    """Get ready: one thread, deaf to Ctrl-C (the parent tells when to stop), and gone when the parent is."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    find(DATASETS, place)  # imports a plugin's file, which unpickling cannot
    _worker[:] = [pickle.loads(pickled)]


def _work(subject: str, base: Path) -> None:
    prepare_subject(_worker[0], subject, base)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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


def _join(partial: Path, bases: Sequence[Path], facts: Sequence[SubjectFacts], size: tuple[int, int] | None) -> None:
    """Write all slices, padded to one shape, into two files. Plain writes: a full disk is an error, not a crash."""
    # A memory map would end in SIGBUS when the disk is full.
    sides = np.array([fact.shape[2:] for fact in facts]).max(0)
    height, width = size or [-(-int(side) // GRID) * GRID for side in sides]
    total, channels = sum(fact.shape[0] for fact in facts), facts[0].shape[1]
    for name, dtype, shape in (
        ("image", np.float16, (total, channels, height, width)),
        ("mask", np.uint8, (total, height, width)),
    ):
        with replacing(partial / f"{name}s.npy") as file:
            _write_header(file, np.dtype(dtype), shape)
            for base in bases:
                part = np.load(base.with_suffix(f".{name}.npy"), mmap_mode="r")
                pad = [(0, 0)] * (part.ndim - 2) + [(0, height - part.shape[-2]), (0, width - part.shape[-1])]
                padded = np.pad(part, pad, constant_values=part.min()) if np.any(pad) else part
                file.write(padded.data)


def _write_header(file: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
