"""Which slices belong together: STAR's groups and pairs, and the order in which groups ask. No images here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.acquisition import Scores
from albench.masks import Ids

Direction = Literal["both", "forward"]


def windows(depth: int, interval: int, starts: Iterable[int]) -> list[range]:
    """Groups of `interval + 1` consecutive positions of a case, one from every start.

    A group that would pass the last slice is filled up with slices before it (the paper's footnote 3); starts that
    lead to the same group give it once.
    """
    last = (min(start + interval, depth - 1) for start in starts)
    return [range(max(0, end - interval), end + 1) for end in sorted(set(last))]


def fixed_groups(depth: int, interval: int) -> list[range]:
    """The paper's groups: from each slice labeled before round 0 to the next one, both included (Sec. 2)."""
    return windows(depth, interval, range(0, depth, interval))


def neighbors(ids: Ids, case: NDArray[np.int64], directions: Direction) -> Ids:
    """Pairs of closest labeled slices of the same case (Sec. 2.2).

    Args:
        ids: labeled slices, ascending, so sorted by case and position.
        case: of every slice, by id.

    Returns:
        (n, 2) ids: the slice that is remembered and the slice to segment; `forward` remembers the lower position only.
    """
    return _directed(np.stack([ids[:-1], ids[1:]], 1)[case[ids[:-1]] == case[ids[1:]]], directions)


def pairs_at_stride(case: NDArray[np.int64], stride: int, directions: Direction) -> Ids:
    """All pairs of slices of the same case that are `stride` positions apart, or of its ends if it is shallower.

    Args:
        case: of every slice, by id; ascending.

    Returns:
        (n, 2) ids, as `neighbors`; a case of one slice is paired with itself.
    """
    pairs = []
    for index, depth in zip(*np.unique(case, return_counts=True), strict=True):
        ids = np.flatnonzero(case == index)
        step = min(stride, int(depth) - 1)
        pairs.append(np.stack([ids[: depth - step], ids[step:]], 1))
    return _directed(np.concatenate(pairs), directions)


def rank_in_group(groups: Sequence[Ids], similarity: Scores) -> NDArray[np.int64]:
    """In which turn each slice is asked for when every group names its least similar slice first, then its second.

    Args:
        groups: of each group the rows of `similarity` that belong to it, ascending.
        similarity: one per slice.

    Returns:
        One turn per slice, from 0: of a slice in several groups the earliest, of a slice in none 0.
    """
    never = len(similarity)
    turn = np.full(never, never)
    for rows in groups:
        order = rows[np.argsort(similarity[rows], kind="stable")]
        turn[order] = np.minimum(turn[order], np.arange(len(order)))
    return np.where(turn == never, 0, turn)


def _directed(pairs: Ids, directions: Direction) -> Ids:
    return np.concatenate([pairs, pairs[:, ::-1]]) if directions == "both" else pairs
