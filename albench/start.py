"""What is labeled before round 0: the same for all strategies of a seed, and nothing without any known label."""

from __future__ import annotations

import numpy as np

from albench.config import Start
from albench.data import SliceStack, joined
from albench.masks import Ids
from albench.streams import Streams

_DENSER = 4  # times as many slices of a case with `few-cases` as with `interval`


def start_slices(slices: SliceStack, start: Start, interval: int, streams: Streams) -> Ids:
    """Ids of the slices that are labeled before round 0, ascending.

    `interval` labels every `interval`-th slice of every case, from its first: 0, j, 2j, ... (STAR, Sec. 2), counted
    among those with a known label. `inside` labels as many of each case, but at least two, in the middles of equal
    parts of the case without its first and its last slice. The other kinds label as many slices as `interval`: at
    random places (`slices`), of whole `cases` drawn at random until the next one would exceed the number, at least one,
    or of `few-cases`, one case after the other in random order, about four times as densely as `interval`. If no case
    has two slices with a known label, `interval` and `inside` count over all cases as if they were one.

    Args:
        slices: of the pool.
        start: the kind.
        interval: distance in slices.
        streams: of the run.
    """
    annotatable = slices.annotatable
    cases = [ids[annotatable[ids]] for ids in map(slices.of, range(len(slices.cases)))]
    lines = cases if any(len(ids) > 1 for ids in cases) else [joined(cases)]
    if start == "inside":
        return joined([ids[_inside(len(ids), interval)] for ids in lines])
    evenly = joined([ids[::interval] for ids in lines])
    if start == "interval":
        return evenly
    rng, count = streams.numpy("start"), len(evenly)
    if start == "slices":
        return np.sort(rng.choice(np.flatnonzero(annotatable), size=count, replace=False))
    drawn = [cases[case] for case in rng.permutation(len(cases)) if len(cases[case])]
    if start == "cases":
        fits = np.cumsum([len(ids) for ids in drawn]) <= count
        return np.sort(np.concatenate(drawn[: max(1, int(fits.sum()))]))
    dense = [ids[:: -(-interval // _DENSER)] for ids in drawn]
    return np.sort(np.concatenate(dense)[:count])


def _inside(count: int, interval: int) -> Ids:
    """Places among `count` slices, of which the first and the last are left out where others remain."""
    between = max(1, count - 2)
    parts = min(max(2, -(-count // interval)), between) if count else 0
    middles = (np.arange(parts) + 0.5) * between / max(1, parts)
    return middles.astype(np.int64) + (count > 1)
