"""Masks of one volume by several raters make one label map by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.masks import UNKNOWN

Raters = Literal["majority", "any", "all", "first"]


def combined_raters(masks: Sequence[NDArray[np.uint8]], rule: Raters) -> NDArray[np.uint8]:
    """The label map of several raters. A rater to whom a voxel is unknown does not count there.

    Args:
        masks: of equal shapes, labels 0 to K or UNKNOWN.
    """
    if rule == "first" or len(masks) == 1:
        return masks[0]
    known = sum((mask != UNKNOWN).astype(np.uint8) for mask in masks)
    result = np.zeros_like(masks[0])
    most = np.zeros_like(masks[0])
    for label in sorted({int(label) for mask in masks for label in np.unique(mask)} - {0, UNKNOWN}):
        votes = sum((mask == label).astype(np.uint8) for mask in masks)
        enough = {"majority": 2 * votes > known, "any": votes > 0, "all": (votes == known) & (votes > 0)}[rule]
        chosen = enough & (votes > most)
        result[chosen], most[chosen] = label, votes[chosen]
    result[known == 0] = UNKNOWN
    return result
