"""Replicates: which runs of different methods are paired, and which of one method are independent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from albench.config import RunConfig


class Replicate(NamedTuple):
    """What a run shares with one run of every other method: initial weights, initial labels and test cases.

    Attributes:
        seed: of the run.
        split: seed of the split of its patients.
    """

    seed: int
    split: int


def replicate_of(config: RunConfig) -> Replicate:
    """The replicate of a run; with `protocol.splits=nested` every seed has a split of its own."""
    return Replicate(config.seed, config.protocol.split_of(config.seed))


def splits_of(replicates: Iterable[Replicate]) -> list[int]:
    """Their different splits, ascending."""
    return sorted({replicate.split for replicate in replicates})


def unit_of(replicates: Iterable[Replicate]) -> str:
    """What is independent: `seed` with one split, `split` with several.

    Runs of one split share their patients. They are one observation about other patients, however many seeds there are.
    """
    return "split" if len(splits_of(replicates)) > 1 else "seed"


def units(replicates: Sequence[Replicate]) -> list[list[int]]:
    """Positions of the replicates of every unit, by ascending seed or split; see `unit_of`."""
    unit = unit_of(replicates)
    found: dict[int, list[int]] = {}
    for position, replicate in enumerate(replicates):
        found.setdefault(getattr(replicate, unit), []).append(position)
    return [found[name] for name in sorted(found)]


def in_words(replicates: Iterable[Replicate]) -> str:
    """`3 seeds (0, 1, 2)`, with the splits if there are several."""
    own = sorted(set(replicates))
    splits, seeds = splits_of(own), sorted({replicate.seed for replicate in own})
    said = _counted(seeds, "seed")
    if len(splits) < 2:
        return said
    if len(own) == len(splits) == len(seeds):
        return f"{said}, each with a split of its own"
    if len(own) == len(seeds) * len(splits):
        return f"{said} on each of {_counted(splits, 'split')}"
    return f"{len(own)} runs of {said} on {_counted(splits, 'split')}"


def _counted(numbers: Sequence[int], noun: str) -> str:
    return f"{len(numbers)} {noun}{'' if len(numbers) == 1 else 's'} ({', '.join(map(str, numbers))})"
