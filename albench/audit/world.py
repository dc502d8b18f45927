"""The world in which a query is asked: a cache with one prepared set, whose masks are the true ones or canaries.

Both worlds lie at the same place, one after the other, so that no path tells them apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.audit.canary import canary
from albench.data import Prepared, cache_folder
from albench.data.stored_set import IMAGES, MASKS
from albench.files import translate_os_errors
from albench.temporary import temporary_folder


class World:
    """A cache with one prepared set (see `open_world`).

    Attributes:
        cache: to be used as `$ALBENCH_CACHE`.
        prepared: the folder of the prepared set in it.
    """

    def __init__(self, root: Path, prepared: Prepared) -> None:
        self._original = _folder_of(prepared)
        self._truth, self._valid = prepared.masks, np.repeat(prepared.valid, prepared.counts, axis=0)
        self._classes = len(prepared.classes)
        self._canaries = root / MASKS
        self.cache = root / "cache"
        self.prepared = self.cache / self._original.name
        self.prepared.mkdir(parents=True)
        _link(self._original / IMAGES, self.prepared / IMAGES)  # other files tell what the masks hold

    def show_truth(self) -> None:
        """Let the masks be the true ones."""
        self._replace(self._original / MASKS)

    def show_canaries(self, bought: NDArray[np.int64]) -> None:
        """Let every mask be a canary, except those in the given rows of the prepared set."""
        with translate_os_errors(self._canaries):
            if not self._canaries.exists():
                self._write_canaries()
            masks = np.lib.format.open_memmap(self._canaries, mode="r+")
            masks[bought] = self._truth[bought]
            masks.flush()
        self._replace(self._canaries)

    def _write_canaries(self) -> None:
        rng, partial = np.random.default_rng(), self._canaries.with_suffix(".partial")
        shape = self._truth.shape
        masks = np.lib.format.open_memmap(partial, mode="w+", dtype=self._truth.dtype, shape=shape)
        others = np.roll(rng.permutation(len(masks)), 1)
        for row, other in enumerate(others):
            truth = np.array(self._truth[row])
            masks[row] = canary(truth, self._truth[other], self._valid[row], self._classes, rng)
        masks.flush()
        partial.rename(self._canaries)

    def _replace(self, masks: Path) -> None:
        shown = self.prepared / MASKS
        shown.unlink(missing_ok=True)
        _link(masks, shown)


@contextmanager
def open_world(prepared: Prepared) -> Iterator[World]:
    """A world for the queries of one run, in a temporary folder.

    It lies in the cache, where images need not be copied, unless that is read-only.

    Raises:
        StoreError: the disk cannot be written.
    """
    cache = cache_folder()
    with temporary_folder(cache if os.access(cache, os.W_OK) else None, ".audit-") as root:
        with translate_os_errors(root):
            world = World(root, prepared)
        yield world


def _folder_of(prepared: Prepared) -> Path:
    return Path(str(prepared.masks.filename)).parent  # type: ignore[attr-defined]  # a memory map


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        target.symlink_to(source.resolve())
