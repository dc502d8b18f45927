"""Several masks of one volume make one label map: those of raters by a rule, those of organs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.data import Raters
from albench.errors import DataError
from albench.masks import UNKNOWN

Overlap = Literal["reject", "first"]


@dataclass(frozen=True)
class Combining:
    """How several masks of a volume become one.

    Attributes:
        raters: a voxel has the class that more than half of the raters give it (`majority`), that any of them gives
            it, most of them first (`any`), or that all of them give it (`all`), and is background otherwise; `first`
            takes the first mask only. None rejects several masks of one organ.
        overlap: a voxel in the masks of several organs is rejected, or has the first of these organs.
    """

    raters: Raters | None = None
    overlap: Overlap = "reject"


ONE_MASK = Combining()


def combined_organs(
    masks: Mapping[str, NDArray[np.uint8]], names: Sequence[str], overlap: Overlap, where: str
) -> NDArray[np.uint8]:
    """The label map of one mask per organ. A voxel is unknown if it is so to a mask and no other one claims it.

    Args:
        masks: by organ, 0, above 0 or UNKNOWN.
        names: the organs in the order of the classes 1 to K.
        where: names the volume in the sentence.

    Raises:
        DataError: a voxel belongs to several organs and `overlap` rejects that.
    """
    result = np.zeros_like(next(iter(masks.values())))
    for mask in masks.values():
        result[mask == UNKNOWN] = UNKNOWN
    taken = np.zeros(result.shape, dtype=bool)
    for number, name in enumerate(names, 1):
        inside = (masks[name] > 0) & (masks[name] != UNKNOWN)
        both = inside & taken
        if overlap == "reject" and both.any():
            other = names[int(np.bincount(result[both]).argmax()) - 1]
            raise DataError(
                f"a voxel must have one organ, {int(both.sum())} voxels of {where} are in '{other}' and '{name}': "
                "choose organs with data.organs, or set data.overlap=first to give them the first in data.organs"
            )
        result[inside & ~taken] = number
        taken |= inside
    return result
