"""What padding costs: slices of all sizes are padded to one, so that a single large case can enlarge all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from albench.data.slices import GRID

_MUCH = 0.5  # share of padding from which on it is warned of


def padded_to(sides: NDArray[np.int64], size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of every slice of a prepared set.

    Args:
        sides: (s, 2) height and width of the slices of each case on the working grid.
        size: as in `Dataset`.
    """
    height, width = size or (-(-int(side) // GRID) * GRID for side in sides.max(0))
    return height, width


def padding_share(sides: NDArray[np.int64], counts: NDArray[np.int64], padded: tuple[int, int]) -> float:
    """The share of padding in all pixels.

    Args:
        sides: as in `padded_to`.
        counts: (s,) slices of each case.
        padded: height and width with padding.
    """
    return 1 - float(counts @ sides.prod(1)) / float(counts.sum() * np.prod(padded))


def padding_warnings(
    title: str,
    cases: Sequence[str],
    sides: NDArray[np.int64],
    counts: NDArray[np.int64],
    size: tuple[int, int] | None,
) -> Iterator[str]:
    """A sentence if more than half of all pixels are padding that another `data.size` would avoid.

    Args:
        title: of the dataset.
        cases: names of the (s,) cases.
        sides: as in `padding_share`, as are the counts.
        size: as in `padded_to`.
    """
    padded = padded_to(sides, size)
    share = padding_share(sides, counts, padded)
    usual = np.median(np.repeat(sides, counts, axis=0), axis=0).astype(np.int64)
    better = padded_to(usual[None], None)
    if share <= _MUCH or np.prod(better) >= np.prod(padded):
        return
    largest = dict.fromkeys(sides.argmax(0).tolist())
    causes = " and ".join(f"'{cases[case]}' ({sides[case][0]} x {sides[case][1]})" for case in largest)
    yield (
        f"at most half of all pixels should be padding, {share:.0%} of those of dataset '{title}' are, because every "
        f"slice is padded to {padded[0]} x {padded[1]} pixels for {'data.size' if size else causes}: set "
        f"data.size=[{better[0]},{better[1]}] to scale all slices to what {usual[0]} x {usual[1]} need, which is the "
        "median"
    )
