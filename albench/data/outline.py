"""The outline of a prepared dataset: its cases and slices, without their content."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from albench.data.prepared import Prepared


def outlined(cases: Sequence[str], counts: Sequence[int], shape: tuple[int, int, int]) -> Prepared:
    """A prepared dataset whose images and masks are all 0 and take no memory. Every case is of its own patient.

    Args:
        cases: (s,) names, sorted.
        counts: (s,) slices of each case.
        shape: channels, height and width of a slice, all of it valid.
    """
    channels, height, width = shape
    return Prepared(
        key="outline",
        images=np.broadcast_to(np.float16(0), (sum(counts), channels, height, width)),
        masks=np.broadcast_to(np.uint8(0), (sum(counts), height, width)),
        cases=tuple(cases),
        counts=np.array(counts),
        valid=np.tile([height, width], (len(cases), 1)),
        spacing=np.ones((len(cases), 3)),
        patients=tuple(cases),
    )
