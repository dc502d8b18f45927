"""Masks on the grids of their files, kept where slices are scaled: scores are those of the files, see `protocol.grid`.

The masks of a set are in one file, compressed, one case after the other.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.data.scaling_loss import ScalingLoss
from albench.data.volume import Volume
from albench.errors import StoreError
from albench.masks import Mask, PackedMasks, planes_of


@dataclass(frozen=True)
class OwnGrid:
    """The mask of one case on the grid of its file.

    Attributes:
        masks: {position: (h, w) label map} of all slices, UNKNOWN where the label is not known.
        spacing: millimeters along z, y, x.
    """

    masks: PackedMasks
    spacing: tuple[float, float, float]

    @property
    def mask(self) -> Mask:
        """(d, h, w) the whole label map."""
        return self.masks.stack(self.masks.ids)


@dataclass(frozen=True)
class OwnGridFacts:
    """What a prepared set knows about the mask of a case on the grid of its file.

    Attributes:
        shape: slices, height and width.
        planes: of bits, see `PackedMasks`.
        spacing: millimeters along z, y, x.
        length: bytes, compressed.
        sha256: of these bytes.
        loss: what the mask loses on the working grid.
    """

    shape: tuple[int, int, int]
    planes: int
    spacing: tuple[float, float, float]
    length: int
    sha256: str
    loss: ScalingLoss

    @classmethod
    def of(cls, own: Volume, scaled: Volume) -> tuple[OwnGridFacts, bytes]:
        """The facts about the mask of a volume before it was scaled, and its compressed bytes."""
        mask = own.mask
        depth, height, width = mask.shape
        planes = planes_of(np.unique(mask).tolist())
        parts = ((np.array([z]), plane[None]) for z, plane in enumerate(mask))
        packed = PackedMasks.collect(np.arange(depth), (height, width), parts, planes).packed
        content = zlib.compress(packed.data, level=1)
        loss = ScalingLoss.of(own, scaled)
        return cls((depth, height, width), planes, own.spacing, len(content), _digest(content), loss), content

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> OwnGridFacts:
        """The facts as JSON holds them."""
        loss = ScalingLoss(**{name: tuple(both) for name, both in content["loss"].items()})
        tuples = {name: tuple(content[name]) for name in ("shape", "spacing")}
        return cls(**{**content, **tuples, "loss": loss})

    def fits(self, content: bytes) -> bool:
        """Whether these are the compressed bytes."""
        return len(content) == self.length and _digest(content) == self.sha256

    def unpack(self, content: bytes) -> OwnGrid:
        """The mask from its compressed bytes, which fit."""
        depth, height, width = self.shape
        packed = np.frombuffer(zlib.decompress(content), np.uint8)
        packed = packed.reshape(depth, self.planes, height, -(-width // 8))
        return OwnGrid(PackedMasks(np.arange(depth), packed, width), self.spacing)


@dataclass(frozen=True)
class OwnGrids:
    """The masks of all cases of a prepared set on the grids of their files.

    Attributes:
        facts: (s,) None of a case whose slices are not scaled.
        content: all compressed bytes, a memory map.
    """

    facts: Sequence[OwnGridFacts | None]
    content: NDArray[np.uint8]

    @property
    def losses(self) -> list[ScalingLoss]:
        """What the masks of each scaled case lose."""
        return [facts.loss for facts in self.facts if facts]

    def bytes_of(self, case: int) -> bytes:
        """The compressed bytes of a case; none of one whose slices are not scaled."""
        lengths = [facts.length if facts else 0 for facts in self.facts]
        start = sum(lengths[:case])
        return self.content[start : start + lengths[case]].tobytes()

    def fits(self, case: int) -> bool:
        """Whether the bytes of a case are those that were prepared."""
        facts = self.facts[case]
        return facts is None or facts.fits(self.bytes_of(case))

    def of(self, case: int, name: str) -> OwnGrid | None:
        """That of a case with this name; None if its slices are not scaled. Raises StoreError: it was changed."""
        facts = self.facts[case]
        if facts is None:
            return None
        content = self.bytes_of(case)
        if not facts.fits(content):
            raise StoreError(
                f"the mask of case '{name}' on the grid of its file must be the one that was prepared, it was changed: "
                "albench data check --cache names the prepared set, remove that"
            )
        return facts.unpack(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
