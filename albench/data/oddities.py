"""What looks odd in the cases of a dataset: few that differ from all others, and images that occur twice.

A case differs if a size of it is more than twice, or less than half, the median of all. It is named only while at most
a quarter of the cases differ; otherwise the dataset is varied, and nothing is odd.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from albench.data.as_read import AsRead
from albench.data.facts import pooled
from albench.errors import few

_FEWEST = 5  # cases, below which none can be told from the others
_FEW = 0.25  # share of the cases that may be odd
_FACTOR = 2.0  # from the median, of a length
_INTENSITY_FACTOR = 10.0  # of the range of intensities, which varies more


def oddities(cases: Sequence[str], read: Sequence[AsRead]) -> Iterator[str]:
    """A sentence for each kind of oddity.

    Args:
        cases: (s,) names.
        read: (s,) the cases.
    """
    yield from _duplicates(cases, read)
    if len(cases) < _FEWEST:
        return
    yield from _other_orientation(cases, read)
    spacing = np.array([case.spacing for case in read])
    extent = spacing * [case.shape for case in read]
    spread = np.array([[channel[-1] - channel[0] for channel in case.percentiles[:1]] for case in read])
    for values, factor, words, remedy in (
        (spacing, _FACTOR, "voxels of about one size in millimeters", "compare their headers with those of the others"),
        (extent, _FACTOR, "about one extent in millimeters", "look whether they show the same part of the body"),
        (spread, _INTENSITY_FACTOR, "intensities of about one range", "look whether they have the same unit"),
    ):
        odd = _far(values, factor)
        if 0 < len(odd) <= _FEW * len(cases):
            first = odd[0]
            yield (
                f"all cases should have {words}, {_named([cases[index] for index in odd])} differ from the others by a "
                f"factor of more than {factor:g}, '{cases[first]}' has {_in_words(values[first])} and the median is "
                f"{_in_words(np.median(values, 0))}: {remedy}"
            )
    yield from _single_values(cases, read)


def _duplicates(cases: Sequence[str], read: Sequence[AsRead]) -> Iterator[str]:
    """A sentence for all cases whose image is that of another."""
    first: dict[str, str] = {}
    for name, case in zip(cases, read, strict=True):
        first.setdefault(case.image, name)
    twice = [(name, first[case.image]) for name, case in zip(cases, read, strict=True) if first[case.image] != name]
    if twice:
        pairs = few([f"'{name}' as '{other}'" for name, other in twice])
        yield f"an image should occur once, {len(twice)} are those of others, {pairs}: remove one of each"


def _other_orientation(cases: Sequence[str], read: Sequence[AsRead]) -> Iterator[str]:
    ranked = Counter(case.orientation for case in read).most_common()
    common = ranked[0][0]
    odd = [name for name, case in zip(cases, read, strict=True) if case.orientation != common]
    if 0 < len(odd) <= _FEW * len(cases):
        others = ", ".join(code for code, _ in ranked[1:])
        yield (
            f"all files should have one orientation, those of {_named(odd)} are {others} and the others {common}: all "
            "are brought to one, look in the picture whether their headers are right"
        )


def _single_values(cases: Sequence[str], read: Sequence[AsRead]) -> Iterator[str]:
    masks = [(name, case.values) for name, case in zip(cases, read, strict=True) if case.values]
    if len(masks) < _FEWEST:
        return
    for value, count in pooled(values for _, values in masks).items():
        if value and count.masks == 1:
            name = next(name for name, values in masks if value in values)
            yield (
                f"a value should occur in several masks, {value} occurs in that of '{name}' only, with "
                f"{count.voxels:,} voxels: look whether it was drawn by mistake"
            )


def _far(values: NDArray[np.float64], factor: float) -> NDArray[np.int64]:
    """Indices of the rows of (s, n) values of which one is not within a factor of the median of its column."""
    ratio = np.maximum(values, 1e-12) / np.maximum(np.median(values, 0), 1e-12)
    return np.flatnonzero(((ratio > factor) | (ratio < 1 / factor)).any(1))


def _in_words(values: NDArray[np.float64]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)


def _named(cases: Sequence[str]) -> str:
    return few([f"'{case}'" for case in cases])
