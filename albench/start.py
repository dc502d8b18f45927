"""What is labeled before round 0: the same for all strategies of a seed, and nothing without any known label.

There is no trained network yet. So slices are chosen by their place, or by a strategy that compares vectors from
elsewhere (cold start).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from albench.config import Protocol
from albench.data import SliceStack, joined
from albench.embeddings import read_embeddings
from albench.errors import ConfigError, StrategyError, suggestion
from albench.masks import Ids
from albench.pool import Pool
from albench.registry import STRATEGIES, available, source_digest
from albench.strategy import Strategy, VectorSelection
from albench.streams import Streams

PLACES = ("interval", "inside", "cases", "slices", "few-cases")

_OWN = "own"
_DENSER = 4  # times as many slices of a case with `few-cases` as with `interval`


def check_start(protocol: Protocol) -> None:
    """Check that what is labeled before round 0 can be chosen.

    Raises:
        ConfigError: the start is unknown, or lacks its vectors, or has vectors that nothing uses.
    """
    start, path = protocol.start, protocol.start_embeddings
    if start in PLACES and path is None:
        return
    selecting = [*_selecting(), _OWN]
    if start in PLACES:
        raise ConfigError(
            f"protocol.start_embeddings needs a start that selects by vectors, got protocol.start={start}: set "
            f"protocol.start to one of {', '.join(selecting)}, or leave protocol.start_embeddings out"
        )
    if start not in selecting:
        raise ConfigError(
            f"protocol.start must be a known start, got '{start}': "
            f"{suggestion(start, [*PLACES, *selecting], 'protocol.start=')}"
        )
    if path is None:
        raise ConfigError(
            f"protocol.start={start} needs vectors of all slices, because there is no trained network before round 0: "
            "set protocol.start_embeddings=FILE.npz"
        )


def initial_slices(
    slices: SliceStack,
    start: str,
    interval: int,
    streams: Streams,
    *,
    strategy: Strategy,
    embeddings: object = None,
) -> Ids:
    """Ids of the slices that are labeled before round 0, ascending.

    A strategy that selects by vectors labels as many slices as `interval`, the same for all strategies of a seed and
    with its default options. `own` lets every such strategy select its own, with its options in the run, also within a
    wrapper; all other strategies begin with those of `interval`.

    Args:
        slices: of the pool.
        start: one of `PLACES`, the name of a strategy, or `own`.
        interval: distance in slices.
        streams: of the run.
        strategy: of the run.
        embeddings: path of the file with vectors.

    Raises:
        ConfigError: the file does not have a vector of every slice.
    """
    if start in PLACES:
        return start_slices(slices, start, interval, streams)
    evenly = start_slices(slices, "interval", interval, streams)
    chooser = strategy.trains_as() if start == _OWN else _selecting()[start]()
    if not isinstance(chooser, VectorSelection):
        return evenly
    try:
        vectors = torch.from_numpy(read_embeddings(Path(str(embeddings)), slices, "protocol.start_embeddings"))
    except StrategyError as error:
        raise ConfigError(str(error)) from error
    return np.sort(chooser.select(vectors, Pool(slices), len(evenly), streams.numpy("start")))


def start_slices(slices: SliceStack, start: str, interval: int, streams: Streams) -> Ids:
    """Ids of the slices that are labeled before round 0, ascending.

    `interval` labels every `interval`-th slice of every case, from its first: 0, j, 2j, ... (STAR, Sec. 2), counted
    among those with a known label. `inside` labels as many of each case, but at least two, in the middles of equal
    parts of the case without its first and its last slice. The other kinds label as many slices as `interval`: at
    random places (`slices`), of whole `cases` drawn at random until the next one would exceed the number, at least one,
    or of `few-cases`, one case after the other in random order, about four times as densely as `interval`. If no case
    has two slices with a known label, `interval` and `inside` count over all cases as if they were one.

    Args:
        slices: of the pool.
        start: one of `PLACES`.
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


def _selecting() -> dict[str, type[VectorSelection]]:
    """The strategies of albench that select by vectors; the code of a plugin is not part of a protocol."""
    classes = {entry.name: entry.cls for entry in available(STRATEGIES)}
    return {
        name: cls
        for name, cls in classes.items()
        if cls is not None and issubclass(cls, VectorSelection) and source_digest(cls) is None
    }
