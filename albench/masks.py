"""Label maps in memory, packed to a few bits per pixel and unpacked when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.uint8]
"""(h, w): 0 background, 1 to K the classes, UNKNOWN where the label is not known."""

UNKNOWN = 255
MOST_CLASSES = 32


@dataclass(frozen=True, eq=False)
class PackedMasks(Mapping[int, Mask]):
    """{slice id: (h, w) label map}, as planes of bits.

    One plane holds 0 and 1. More planes hold the binary digits of the label, and UNKNOWN as ones in all of them.

    Attributes:
        ids: (n,) ascending.
        packed: (n, planes, h, ceil(w / 8)) uint8, the plane of the lowest digit first.
        width: w.
    """

    ids: Ids
    packed: NDArray[np.uint8]
    width: int

    @classmethod
    def of(cls, ids: Ids, masks: NDArray[np.uint8]) -> PackedMasks:
        """Pack (n, h, w) masks of ascending ids, in as few planes as they need."""
        return cls(ids, _pack(masks, planes_of(np.unique(masks).tolist())), masks.shape[-1])

    @classmethod
    def collect(
        cls, ids: Ids, shape: tuple[int, int], parts: Iterable[tuple[Ids, NDArray[np.uint8]]], planes: int
    ) -> PackedMasks:
        """Pack a stream of ids (b,) and (b, h, w) masks of `shape`, which covers all of `ids` in any order."""
        ordered, (height, width) = np.sort(ids), shape
        packed = np.empty((len(ids), planes, height, -(-width // 8)), dtype=np.uint8)
        for some, masks in parts:
            packed[np.searchsorted(ordered, some)] = _pack(masks, planes)
        return cls(ordered, packed, width)

    def stack(self, ids: Ids) -> NDArray[np.uint8]:
        """(n, h, w) masks of these ids, all of which must exist."""
        return self._unpack(self.rows(ids))

    def rows(self, ids: Ids) -> NDArray[np.uint8]:
        """(n, planes, h, ceil(w / 8)) packed masks of these ids, all of which must exist."""
        return self.packed[np.searchsorted(self.ids, ids)]

    def nonempty(self, ids: Ids) -> NDArray[np.bool_]:
        """(n,) whether the masks of these ids have foreground."""
        planes = self.rows(ids).swapaxes(0, 1)
        foreground = np.bitwise_or.reduce(planes)
        if len(planes) > 1:
            foreground &= ~np.bitwise_and.reduce(planes)
        return np.asarray(foreground.any((1, 2)))

    def only(self, ids: Iterable[int]) -> PackedMasks:
        """The masks of these ids only."""
        chosen = np.array(sorted(ids), dtype=np.int64)
        return PackedMasks(chosen, self.rows(chosen), self.width)

    def _unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(..., h, w) masks of (..., planes, h, w / 8) planes."""
        digits = np.unpackbits(packed, axis=-1, count=self.width)
        planes = digits.shape[-3]
        labels = digits[..., 0, :, :].copy()
        for plane in range(1, planes):
            labels |= digits[..., plane, :, :] << plane
        if planes > 1:
            labels[labels == 2**planes - 1] = UNKNOWN
        return labels

    def __getitem__(self, slice_id: int) -> Mask:
        row = int(np.searchsorted(self.ids, slice_id))
        if row == len(self.ids) or self.ids[row] != slice_id:
            raise KeyError(slice_id)
        return self._unpack(self.packed[row])

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)


def foreground(masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether pixels of label maps belong to a class: neither background nor unknown. Any shape."""
    return (masks > 0) & (masks != UNKNOWN)


def planes_for(classes: int, *, unknown: bool = False) -> int:
    """Planes that hold the labels of a number of classes, and UNKNOWN if it may occur."""
    return 1 if classes == 1 and not unknown else (classes + 1).bit_length()


def planes_of(labels: Sequence[int]) -> int:
    """Planes that hold these labels."""
    known = [label for label in labels if label != UNKNOWN]
    return planes_for(max([1, *known]), unknown=UNKNOWN in labels)


def _pack(masks: NDArray[np.uint8], planes: int) -> NDArray[np.uint8]:
    """(n, planes, h, ceil(w / 8)) planes of (n, h, w) masks; UNKNOWN already has ones in all digits."""
    return np.stack([np.packbits(masks >> plane & 1, axis=-1) for plane in range(planes)], axis=1)
