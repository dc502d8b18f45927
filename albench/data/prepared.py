"""The prepared set: every volume read once, normalized, scaled, padded and stored as memory-mapped arrays.

`albench.data.preparation` builds it under a temporary name, one process at a time, and renames it when it is complete.
The name of its folder is a hash of the options of the dataset and of the content of its files, so a changed file or
option leads to a new set (`albench.data.digests` says when a file counts as changed).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.data.as_read import AsRead
from albench.data.dataset import Dataset, check_case_names, check_options
from albench.data.digests import file_digests
from albench.data.intensities import ClippedTarget
from albench.data.label_counts import LabelCounts
from albench.data.marks import lock_of
from albench.data.own_grid import OwnGrids
from albench.data.paths import cache_folder
from albench.data.preparation import FORMAT, Progress, build_set
from albench.data.problems import CaseSummary
from albench.data.scaled_masks import SCALING
from albench.data.slices import LabeledStack, SliceStack, joined
from albench.data.stored_set import StoredSet, open_set, read_set
from albench.data.workers import default_workers
from albench.errors import DataError, StoreError
from albench.files import locked
from albench.masks import UNKNOWN, PackedMasks, planes_for
from albench.registry import source_digest


@dataclass(frozen=True)
class Prepared:
    """A prepared set on disk, opened by memory map.

    Attributes:
        key: hash of options and content, and of how masks are scaled and what is no body, if anything is.
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
        own_grids: masks of the cases on the grids of their files; None if no slices are scaled.
        clipped: (s,) what clipping does to the target; empty if it is not known.
        labels: (s,) numbers of the masks on the working grid; empty if they are not known, as is `read`.
        read: (s,) the cases as they were read.
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
    own_grids: OwnGrids | None = None
    clipped: tuple[ClippedTarget, ...] = ()
    labels: tuple[LabelCounts, ...] = ()
    read: tuple[AsRead, ...] = ()

    @property
    def summaries(self) -> list[CaseSummary]:
        """(s,) of the cases, as `data check` makes them from the files."""
        channels = self.images.shape[1]
        grids = self.own_grids.facts if self.own_grids else [None] * len(self.cases)
        of_cases = zip(self.cases, self.labels, self.valid, self.clipped, grids, strict=True)
        return [
            CaseSummary(case, case, channels, labels, sides, clipped, grid.loss if grid else None)
            for case, labels, sides, clipped, grid in of_cases
        ]

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
            rows=joined(np.arange(starts[i], starts[i + 1]) for i in chosen),
            case=np.repeat(np.arange(len(chosen)), counts),
            position=joined(np.arange(count) for count in counts),
            valid=np.repeat(self.valid[chosen], counts, axis=0),
            cases=tuple(cases),
            spacing=self.spacing[chosen],
            classes=self.classes,
            context=self.context,
        )
        return replace(stack, known=self._known(stack)) if self._unknown_in(cases) else stack

    def labeled_stack(self, cases: Sequence[str], *, own_grid: bool = False) -> LabeledStack:
        """The slices of the named cases with their masks, and on request those on the grids of their files.

        Raises:
            StoreError: the masks on the grid of a file were changed.
        """
        stack = self.stack(cases)
        planes = planes_for(len(self.classes), unknown=self._unknown_in(cases))
        truth = _packed(stack, (self.masks[stack.rows[ids]] for ids in _by_case(stack)), planes)
        if not own_grid or self.own_grids is None:
            return LabeledStack(stack, truth)
        return LabeledStack(stack, truth, tuple(self.own_grids.of(self.cases.index(name), name) for name in cases))

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


def prepare(
    dataset: Dataset,
    progress: Progress | None = None,
    workers: int | None = 1,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Prepared:
    """Open the prepared set, and build it first if it is missing or damaged. Several processes may call it at once.

    The cache may be read-only if it has the set.

    Args:
        progress: called after every case.
        workers: processes that read volumes; None chooses as many as suit the data and the machine. A script that sets
            more than one must be importable, with its own work under `if __name__ == "__main__":`.
        on_notice: told, in one sentence, what is wrong with a damaged set that is built again.

    Raises:
        ConfigError: as `check_options` and `check_case_names`.
        DataError: the files of the dataset cannot be used.
        StoreError: the set is not in the cache, which cannot be written.
    """
    check_options(dataset)
    check_case_names(dataset)
    key = content_key(dataset)
    folder = cache_folder() / f"{dataset.title}-{key}"
    stored = _usable(folder, dataset)
    if isinstance(stored, str):
        _check_writable(dataset.title)
        with locked(lock_of(folder), wait=True, leave=False):
            stored = _usable(folder, dataset)  # another process may have been faster
            if isinstance(stored, str):
                if folder.exists():
                    on_notice(f"{stored}: it is prepared again")
                show = progress or (lambda done, total, case: None)
                number = default_workers(dataset) if workers is None else workers
                build_set(dataset, folder, show, number, unchanged=lambda: content_key(dataset) == key)
                stored = read_set(folder)
    return replace(_opened(stored, key), context=dataset.context)


def _usable(folder: Path, dataset: Dataset) -> StoredSet | str:
    """The set in a folder; what is wrong with it if it is missing or damaged, or read otherwise than now."""
    stored = open_set(folder)
    if isinstance(stored, str):
        return stored
    if "read" not in stored.meta:
        return f"'{folder}' must count the values of masks, which the earlier version that made it did not"
    if stored.meta.get("rule", "volume") != dataset.intensities.rule:
        return f"'{folder}' must hold intensities read by data.intensity={dataset.intensities.rule}, it does not"
    return stored


def _check_writable(title: str) -> None:
    cache = cache_folder()
    if cache.is_dir() and not os.access(cache, os.W_OK):
        raise StoreError(
            f"'{title}' must be in the cache '{cache}' or the cache be writable, neither is so: set ALBENCH_CACHE to "
            "another folder, or prepare the data where this one is writable"
        )


def _opened(stored: StoredSet, key: str) -> Prepared:
    meta = stored.meta
    clipped = tuple(ClippedTarget(**case) for case in meta.get("clipped", ()))
    return Prepared(
        key=_key_of(key, stored, clipped),
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
        own_grids=stored.own_grids,
        clipped=clipped,
        labels=tuple(map(LabelCounts.from_json, meta["labels"])),
        read=tuple(map(AsRead.from_json, meta["read"])),
    )


def _key_of(key: str, stored: StoredSet, clipped: Sequence[ClippedTarget]) -> str:
    """The key of a set with what its name does not tell: how masks were scaled, and which voxels are no body."""
    more = [f"scaling {SCALING}"] if stored.own_grids else []
    more += [stored.meta["rule"]] if any(case.padded for case in clipped) else []
    return hashlib.sha256(json.dumps([key, *more]).encode()).hexdigest()[: len(key)] if more else key


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
