"""The slices of a prepared set: what strategies, training and evaluation work on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from albench.data.own_grid import OwnGrid
from albench.masks import PackedMasks

GRID = 16  # pixels; sides of a slice are multiples of it, because the encoder halves the image four times


@dataclass(frozen=True)
class SliceStack:
    """The slices of some cases, sorted by case and position. The id of a slice is its row.

    Attributes:
        images: (N, c, H, W) float16, the whole prepared set, memory-mapped and read-only.
        rows: (n,) where in `images` each slice of this stack lies.
        case: (n,) index into `cases`.
        position: (n,) z within the case, from 0.
        valid: (n, 2) height and width of the part without padding, which starts at the top left.
        cases: names.
        spacing: (s, 3) millimeters along z, y, x of each case, on the working grid.
        classes: names of the classes 1, 2, ..., K of the masks.
        known: {id: (H, W) mask}, 1 where the label of a pixel is known and 0 elsewhere, also in the padding; None if
            all labels are known.
        context: slices below and above that a network gets as further channels.
    """

    images: NDArray[np.float16]
    rows: NDArray[np.int64]
    case: NDArray[np.int64]
    position: NDArray[np.int64]
    valid: NDArray[np.int64]
    cases: tuple[str, ...]
    spacing: NDArray[np.float64]
    classes: tuple[str, ...] = ("foreground",)
    known: PackedMasks | None = None
    context: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every slice, padding included."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def inputs(self) -> int:
        """Channels that a network gets of every slice: its own and those of its context."""
        return (2 * self.context + 1) * self.shape[0]

    @cached_property
    def annotatable(self) -> NDArray[np.bool_]:
        """(n,) whether any label of a slice is known, so that it can be queried."""
        if self.known is None:
            return np.ones(len(self), dtype=np.bool_)
        return self.known.nonempty(np.arange(len(self)))

    def of(self, case: int) -> NDArray[np.int64]:
        """(m,) ids of the slices of one case, in order of position."""
        return np.flatnonzero(self.case == case)

    def read(self, ids: NDArray[np.int64]) -> NDArray[np.float16]:
        """(n, c, H, W) float16 images of the (n,) given slices alone, padding included, as a copy in memory."""
        return self.images[self.rows[ids]]

    def rows_with_context(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 2 context + 1) rows in `images` of what a network gets of the (n,) given slices.

        The slice itself comes first, then the slices below and above it, the nearest first. Beyond the first or the
        last slice of a case, that is repeated.
        """
        steps = np.arange(1, self.context + 1)
        offsets = np.concatenate([[0], np.stack([-steps, steps], 1).ravel()]).astype(np.int64)
        first, last = (np.searchsorted(self.case, self.case[ids], side) for side in ("left", "right"))
        return self.rows[np.clip(ids[:, None] + offsets, first[:, None], last[:, None] - 1)]

    def label(self, slice_id: int) -> str:
        """The name of a slice in messages."""
        name = self.cases[self.case[slice_id]]
        return f"slice {slice_id} (case {name}, position {self.position[slice_id]})"


@dataclass(frozen=True)
class LabeledStack:
    """A stack with the reference masks of all its slices, for validation and test; never for the pool.

    It copies the masks of these cases only, so that the validation set gives no access to the masks of the pool.

    Attributes:
        slices: the images.
        truth: {id: (H, W) mask} of every slice, UNKNOWN where a label is not known.
        own_grids: (s,) the masks of each case on the grid of its file, None where that is the working grid; empty if
            only those on the working grid count.
    """

    slices: SliceStack
    truth: PackedMasks
    own_grids: tuple[OwnGrid | None, ...] = ()

    def masks(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, H, W) masks of the (n,) given slices."""
        return self.truth.stack(ids)

    def own_grid(self, case: int) -> OwnGrid | None:
        """The masks of a case on the grid of its file; None if it is scored on the working grid."""
        return self.own_grids[case] if self.own_grids else None


def joined(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The parts one after the other, of which there may be none."""
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
