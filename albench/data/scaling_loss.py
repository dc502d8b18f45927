"""What masks lose when slices are scaled: objects and volume, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from albench.data.volume import Volume
from albench.masks import Mask, foreground

_TELLING = 0.01  # part of the volume, from which its change is told


@dataclass(frozen=True)
class ScalingLoss:
    """Objects and volume of the masks of a case, or of several.

    An object is a part of one class that is connected by faces, edges or corners in 3D.

    Attributes:
        objects: on the grid of the file, and on the working grid.
        volume: of the foreground in cubic millimeters, likewise.
    """

    objects: tuple[int, int]
    volume: tuple[float, float]

    @classmethod
    def of(cls, own: Volume, scaled: Volume) -> ScalingLoss:
        """Of the mask of one case before and after; images do not count."""
        both = own, scaled
        before, after = (_objects(volume.mask) for volume in both)
        full, kept = (int(foreground(volume.mask).sum()) * prod(volume.spacing) for volume in both)
        return cls((before, after), (full, kept))

    @classmethod
    def sum(cls, losses: Iterable[ScalingLoss]) -> ScalingLoss:
        """Of all masks together."""
        each = list(losses)
        before, after = (sum(loss.objects[when] for loss in each) for when in (0, 1))
        full, kept = (sum(loss.volume[when] for loss in each) for when in (0, 1))
        return cls((before, after), (full, kept))

    @property
    def change(self) -> float:
        """Of the volume, as a part of that on the grid of the file; 0 if there is none."""
        full, kept = self.volume
        return kept / full - 1 if full else 0.0

    def in_words(self) -> str:
        """Both numbers of objects, and the change of the volume."""
        before, after = self.objects
        return f"{before} objects become {after}, and their volume changes by {self.change:+.1%}"


def scaling_warnings(size: Sequence[int] | None, losses: Sequence[ScalingLoss]) -> Iterator[str]:
    """A sentence if scaling to `size` loses objects or changes the volume."""
    loss = ScalingLoss.sum(losses)
    gone = loss.objects[0] - loss.objects[1]
    if size is None or (gone <= 0 and abs(loss.change) < _TELLING):
        return
    height, width = size
    yield (
        f"masks should keep their objects and volume when slices are scaled, of {loss.objects[0]} objects "
        f"data.size=[{height},{width}] leaves {loss.objects[1]} and changes their volume by {loss.change:+.1%}: choose "
        "a larger size if they matter to training, scores are those of the files with protocol.grid=native"
    )


def _objects(mask: Mask) -> int:
    from scipy.ndimage import find_objects, label

    boxes = enumerate(find_objects(np.where(foreground(mask), mask, 0)), 1)  # the box of every class
    return sum(label(mask[box] == number, np.ones((3, 3, 3)))[1] for number, box in boxes if box is not None)
