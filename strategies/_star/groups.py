"""STAR's groups and pairs of slices, and the order in which groups nominate slices. On ids only, without images."""

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

    A group that would exceed the last slice is shifted back to end there (footnote 3 of the paper). Starts that give
    the same group give it once.
    """
    last = (min(start + interval, depth - 1) for start in starts)
    return [range(max(0, end - interval), end + 1) for end in sorted(set(last))]


def fixed_groups(depth: int, interval: int) -> list[range]:
    """The groups of the paper: from each initial slice to the next one, both included (Sec. 2)."""
    return windows(depth, interval, range(0, depth, interval))


def rows_of(group: Ids, ids: Ids) -> Ids:
    """(m,) rows of the ascending `ids` (n,) that belong to a group of consecutive ids."""
    return np.arange(*np.searchsorted(ids, (group[0], group[-1] + 1)))


def neighbors(ids: Ids, case: NDArray[np.int64], directions: Direction) -> Ids:
    """Pairs of labeled slices of the same case with no other labeled slice between them (Sec. 2.2).

    Args:
        ids: labeled slices in ascending order, so that they are sorted by case and position.
        case: (N,) case of every slice, by id.

    Returns:
        (n, 2) ids: the slice in the memory and the slice to segment; with `forward`, the former is always the lower.
    """
    return _directed(np.stack([ids[:-1], ids[1:]], 1)[case[ids[:-1]] == case[ids[1:]]], directions)


def pairs_at_stride(case: NDArray[np.int64], stride: int, directions: Direction) -> Ids:
    """All pairs of slices of the same case that are `stride` positions apart, or its first and last if it has fewer.

    Args:
        case: (N,) case of every slice, by id, in ascending order.

    Returns:
        (n, 2) ids, as from `neighbors`; the slice of a case with a single slice is paired with itself.
    """
    pairs = []
    for index, depth in zip(*np.unique(case, return_counts=True), strict=True):
        ids = np.flatnonzero(case == index)
        step = min(stride, int(depth) - 1)
        pairs.append(np.stack([ids[: depth - step], ids[step:]], 1))
    return _directed(np.concatenate(pairs), directions)


def rank_in_group(groups: Sequence[Ids], similarity: Scores) -> NDArray[np.int64]:
    """The rank of each slice by ascending similarity within its group.

    Args:
        groups: for each group the rows of `similarity` that belong to it, in ascending order.
        similarity: (n,) one per slice.

    Returns:
        (n,) ranks from 0: the lowest for a slice in several groups, 0 for a slice in none.
    """
    unranked = len(similarity)
    rank = np.full(len(similarity), unranked)
    for rows in groups:
        order = rows[np.argsort(similarity[rows], kind="stable")]
        rank[order] = np.minimum(rank[order], np.arange(len(order)))
    return np.where(rank == unranked, 0, rank)


def _directed(pairs: Ids, directions: Direction) -> Ids:
    return np.concatenate([pairs, pairs[:, ::-1]]) if directions == "both" else pairs
