"""Binary masks in memory, packed to eight pixels per byte and unpacked when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PackedMasks(Mapping[int, Mask]):
    """{slice id: (h, w) mask of 0 and 1}.

    Attributes:
        ids: (n,) ascending.
        packed: (n, h, ceil(w / 8)) uint8.
        width: w.
    """

    ids: Ids
    packed: NDArray[np.uint8]
    width: int

    @classmethod
    def of(cls, ids: Ids, masks: NDArray[np.uint8]) -> PackedMasks:
        """Pack (n, h, w) masks of ascending ids."""
        return cls(ids, np.packbits(masks, axis=-1), masks.shape[-1])

    @classmethod
    def collect(cls, ids: Ids, shape: tuple[int, int], parts: Iterable[tuple[Ids, NDArray[np.uint8]]]) -> PackedMasks:
        """Pack a stream of ids (b,) and (b, h, w) masks of `shape`, which covers all of `ids` in any order."""
        ordered, (height, width) = np.sort(ids), shape
        packed = np.empty((len(ids), height, -(-width // 8)), dtype=np.uint8)
        for some, masks in parts:
            packed[np.searchsorted(ordered, some)] = np.packbits(masks, axis=-1)
        return cls(ordered, packed, width)

    def stack(self, ids: Ids) -> NDArray[np.uint8]:
        """(n, h, w) masks of these ids, all of which must exist."""
        return np.unpackbits(self.packed[np.searchsorted(self.ids, ids)], axis=-1, count=self.width)

    def nonempty(self, ids: Ids) -> NDArray[np.bool_]:
        """(n,) whether the masks of these ids have foreground."""
        return np.asarray(self.packed[np.searchsorted(self.ids, ids)].any((1, 2)))

    def only(self, ids: Iterable[int]) -> PackedMasks:
        """The masks of these ids only."""
        chosen = np.array(sorted(ids), dtype=np.int64)
        return PackedMasks(chosen, self.packed[np.searchsorted(self.ids, chosen)], self.width)

    def __getitem__(self, slice_id: int) -> Mask:
        row = int(np.searchsorted(self.ids, slice_id))
        if row == len(self.ids) or self.ids[row] != slice_id:
            raise KeyError(slice_id)
        return np.unpackbits(self.packed[row], axis=-1, count=self.width)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)
