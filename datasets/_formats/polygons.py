"""Voxels whose centers lie within polygons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_ON = (
    1e-2  # voxels along a line of the grid, within which a center lies on an edge: coordinates are rounded when written
)


def filled(contours: Sequence[Points], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(i, j) whether the center of a voxel lies in an odd number of contours, or on one of them.

    So an inner contour is a hole, one in a hole is an island, and a contour may reach a hole through a channel of no
    width. A contour through the centers of the outermost voxels, as programs trace it, encloses these voxels.

    Args:
        contours: (n, 2) corners of each, in voxels from the center of the first one; the last is joined to the first.
        shape: of the result.
    """
    starts = np.concatenate(contours)
    ends = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours])
    on = _on(starts, ends, shape) | _on(starts[:, ::-1], ends[:, ::-1], shape[::-1]).T
    return _inside(starts, ends, shape) | on


def _inside(starts: Points, ends: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Voxels before which edges cross their line an odd number of times."""
    edge, line = _lines(starts[:, 0], ends[:, 0], shape[0])
    crossing = (starts[edge, 0] <= line) != (ends[edge, 0] <= line)  # a corner on the line belongs to one of its edges
    edge, line = edge[crossing], line[crossing]
    _, across = _nearest(starts[edge], ends[edge], line)
    first = np.clip(np.ceil(across), 0, shape[1]).astype(int)
    counts = np.zeros((shape[0], shape[1] + 1), np.int32)
    np.add.at(counts, (line, first), 1)
    return counts.cumsum(1)[:, :-1] % 2 == 1


def _on(starts: Points, ends: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Voxels on edges, of those edges that go along the first axis rather than along the second."""
    edge, line = _lines(starts[:, 0], ends[:, 0], shape[0])
    along, across = _nearest(starts[edge], ends[edge], line)
    column = np.rint(across)
    on = (np.hypot(along - line, across - column) <= _ON) & (column >= 0) & (column < shape[1])
    found = np.zeros(shape, bool)
    found[line[on], column[on].astype(int)] = True
    return found


def _lines(starts: NDArray[np.float64], ends: NDArray[np.float64], count: int) -> tuple[NDArray[np.intp], ...]:
    """Every edge with every one of `count` lines at 0, 1, 2, ... that it meets: (m,) edges and (m,) lines."""
    first = np.ceil(np.minimum(starts, ends) - _ON).clip(0, count).astype(int)
    last = np.floor(np.maximum(starts, ends) + _ON).clip(-1, count - 1).astype(int)
    each = (last - first + 1).clip(0)
    edge = np.repeat(np.arange(len(each)), each)
    before = np.cumsum(each) - each
    return edge, np.arange(len(edge)) - before[edge] + first[edge]


def _nearest(starts: Points, ends: Points, line: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
    """Both coordinates of the point of every edge on a line across the first axis, or of its end beside it."""
    length = ends[:, 0] - starts[:, 0]
    share = np.divide(line - starts[:, 0], length, out=np.zeros_like(length), where=length != 0).clip(0, 1)
    along, across = (starts + share[:, None] * (ends - starts)).T
    return along, across
