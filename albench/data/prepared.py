"""The prepared set: every volume read once, normalized, scaled, padded and stored as memory-mapped arrays.

`albench.data.preparation` builds it under a temporary name, one process at a time, and renames it when it is complete.
The name of its folder is a hash of the options of the dataset and of the content of its files, so a changed file or
option leads to a new set (`albench.data.digests` says when a file counts as changed).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.data.dataset import Dataset, check_case_names, check_options
from albench.data.digests import file_digests
from albench.data.marks import lock_of
from albench.data.paths import cache_folder
from albench.data.preparation import FORMAT, Progress, build_set
from albench.data.slices import LabeledStack, SliceStack
from albench.data.stored_set import StoredSet, read_set
from albench.data.workers import default_workers
from albench.errors import DataError, StoreError
from albench.files import locked
from albench.masks import UNKNOWN, PackedMasks, planes_for
from albench.registry import source_digest


@dataclass(frozen=True)
class Prepared:
    """A prepared set on disk, opened by memory map.

    Attributes:
        key: hash of options and content.
        images: (N, c, H, W) float16, zero mean and unit variance per volume; padding has the volume's minimum.
        masks: (N, H, W) uint8: 0 background and padding, 1 to K the classes, UNKNOWN where the label is not known.
        cases: names, sorted.
        counts: (s,) slices of each case.
        valid: (s, 2) height and width without padding.
        spacing: (s, 3) millimeters along z, y, x on the working grid.
        patients: (s,) the patient of each case; the split keeps the cases of a patient together.
        context: slices below and above that a network gets as further channels.
        intensity: (s, c, 2) lowest and highest value as read, before clipping; None if it is not known.
        classes: names of the classes 1 to K.
        unknown: (s,) pixels of each case whose label is not known; None if all labels are known.
    """

    key: str
    images: NDArray[np.float16]
    masks: NDArray[np.uint8]
    cases: tuple[str, ...]
    counts: NDArray[np.int64]
    valid: NDArray[np.int64]
    spacing: NDArray[np.float64]
    patients: tuple[str, ...]
    intensity: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ("foreground",)
    unknown: NDArray[np.int64] | None = None
    context: int = 0

    def check_drawn(self, *parts: Sequence[str]) -> None:
        """Check that every case of these parts has a known label. Raises DataError: one has none."""
        if self.unknown is None:
            return
        for name in chain.from_iterable(parts):
            index = self.cases.index(name)
            if self.unknown[index] == self.counts[index] * self.valid[index].prod():
                raise DataError(
                    f"a case of the validation or test part must have a known label, '{name}' has none: remove its "
                    "mask and set data.unlabeled=pool, or leave the case out"
                )

    def stack(self, cases: Sequence[str]) -> SliceStack:
        """The slices of the named cases, of which there may be none."""
        chosen = np.array([self.cases.index(name) for name in cases], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        counts = self.counts[chosen]
        stack = SliceStack(
            images=self.images,
            rows=_concatenate(np.arange(starts[i], starts[i + 1]) for i in chosen),
            case=np.repeat(np.arange(len(chosen)), counts),
            position=_concatenate(np.arange(count) for count in counts),
            valid=np.repeat(self.valid[chosen], counts, axis=0),
            cases=tuple(cases),
            spacing=self.spacing[chosen],
            classes=self.classes,
            context=self.context,
        )
        return replace(stack, known=self._known(stack)) if self._unknown_in(cases) else stack

    def labeled_stack(self, cases: Sequence[str]) -> LabeledStack:
        """The slices of the named cases with their masks."""
        stack = self.stack(cases)
        planes = planes_for(len(self.classes), unknown=self._unknown_in(cases))
        return LabeledStack(stack, _packed(stack, (self.masks[stack.rows[ids]] for ids in _by_case(stack)), planes))

    def _unknown_in(self, cases: Sequence[str]) -> bool:
        """Whether the label of any pixel of these cases is not known."""
        return self.unknown is not None and any(self.unknown[self.cases.index(name)] for name in cases)

    def _known(self, stack: SliceStack) -> PackedMasks:
        """1 where the label of a pixel is known; padding is not."""
        known = (
            (self.masks[stack.rows[ids]] != UNKNOWN) & _inside(stack.shape[1:], stack.valid[ids[0]])
            for ids in _by_case(stack)
        )
        return _packed(stack, (pixels.astype(np.uint8) for pixels in known), 1)


def prepare(dataset: Dataset, progress: Progress | None = None, workers: int | None = 1) -> Prepared:
    """Open the prepared set, and build it first if it is missing or damaged. Several processes may call it at once.

    The cache may be read-only if it has the set.

    Args:
        progress: called after every case.
        workers: processes that read volumes; None chooses as many as suit the data and the machine. A script that sets
            more than one must be importable, with its own work under `if __name__ == "__main__":`.

    Raises:
        ConfigError: as `check_options` and `check_case_names`.
        DataError: the files of the dataset cannot be used.
        StoreError: the set is not in the cache, which cannot be written.
    """
    check_options(dataset)
    check_case_names(dataset)
    key = content_key(dataset)
    folder = cache_folder() / f"{dataset.title}-{key}"
    stored = _whole(folder)
    if stored is None:
        _check_writable(dataset.title)
        with locked(lock_of(folder), wait=True, leave=False):
            stored = _whole(folder)  # another process may have been faster
            if stored is None:
                show = progress or (lambda done, total, case: None)
                number = default_workers(dataset) if workers is None else workers
                build_set(dataset, folder, show, number, unchanged=lambda: content_key(dataset) == key)
                stored = read_set(folder)
    return replace(_opened(stored, key), context=dataset.context)


def _whole(folder: Path) -> StoredSet | None:
    """The set in a folder; None if it is missing or damaged."""
    try:
        return read_set(folder)
    except StoreError:
        return None


def _check_writable(title: str) -> None:
    cache = cache_folder()
    if cache.is_dir() and not os.access(cache, os.W_OK):
        raise StoreError(
            f"'{title}' must be in the cache '{cache}' or the cache be writable, neither is so: set ALBENCH_CACHE to "
            "another folder, or prepare the data where this one is writable"
        )


def _opened(stored: StoredSet, key: str) -> Prepared:
    meta = stored.meta
    return Prepared(
        key=key,
        images=stored.images,
        masks=stored.masks,
        cases=tuple(meta["cases"]),
        counts=np.array(meta["counts"]),
        valid=np.array(meta["valid"]),
        spacing=np.array(meta["spacing"]),
        patients=tuple(meta["patients"]),
        intensity=np.array(meta["intensity"]),
        classes=tuple(meta["classes"]),
        unknown=np.array(meta["unknown"]) if any(meta["unknown"]) else None,
    )


def content_key(dataset: Dataset) -> str:
    """16 hexadecimal digits, a hash of the options of a dataset, its code if it is a plugin, and its files' content."""
    left_out = (*dataset.locations, *dataset.views)
    options = {k: v for k, v in dataset.hashed_options().items() if k not in left_out}
    digests = file_digests(dataset.inputs())
    content = [FORMAT, dataset.name, source_digest(type(dataset)), options, digests]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _by_case(stack: SliceStack) -> list[NDArray[np.int64]]:
    """Ids of the slices of each case."""
    return [stack.of(case) for case in range(len(stack.cases))]


def _inside(shape: tuple[int, int], valid: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(h, w) whether a pixel of a slice of `shape` is in its valid part, which is given as height and width."""
    rows, columns = np.indices(shape, sparse=True)
    return np.asarray((rows < valid[0]) & (columns < valid[1]))


def _packed(stack: SliceStack, masks: Iterable[NDArray[np.uint8]], planes: int) -> PackedMasks:
    """Masks of all slices of a stack, which come case by case."""
    return PackedMasks.collect(np.arange(len(stack)), stack.shape[1:], zip(_by_case(stack), masks, strict=True), planes)


def _concatenate(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The parts one after the other, of which there may be none."""
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
