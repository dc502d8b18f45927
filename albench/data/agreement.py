"""How far the masks of several raters agree: the Dice of every pair of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from albench.errors import counted
from albench.masks import UNKNOWN


def agreement(masks: Sequence[Sequence[NDArray[np.uint8]]]) -> dict[str, float]:
    """Dice of every pair of raters of a case, by the numbers of both, such as `1 and 2`.

    It is the mean over the labels that one of both has drawn, and 1 if neither has drawn anything. Voxels that are
    unknown to one of them do not count.

    Args:
        masks: one label map for each rater, all of equal shapes; several sequences of them where masks are of one organ
            each, whose raters are in the same order.
    """
    raters = max(map(len, masks), default=0)
    found = {}
    for first, second in combinations(range(raters), 2):
        pairs = [(of_organ[first], of_organ[second]) for of_organ in masks if second < len(of_organ)]
        scores = [score for one, other in pairs for score in _scores(one, other)]
        found[f"{first + 1} and {second + 1}"] = float(np.mean(scores)) if scores else 1.0
    return found


def agreement_in_words(cases: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The median and the lowest Dice of every pair of raters in words.

    Args:
        cases: what `agreement` returns for each case, by its name; cases of one rater have nothing.
    """
    for pair in dict.fromkeys(pair for case in cases.values() for pair in case):
        scores = {name: case[pair] for name, case in cases.items() if pair in case}
        worst = min(scores, key=lambda name: scores[name])
        yield (
            f"Dice of masks {pair} {np.median([*scores.values()]):.3f} (median of "
            f"{counted(len(scores), 'case')}, lowest {scores[worst]:.3f} in '{worst}')"
        )


def _scores(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Iterator[float]:
    """Dice of every label that occurs in one of two masks."""
    known = (one != UNKNOWN) & (other != UNKNOWN)
    pairs, counts = np.unique(256 * one[known].astype(np.uint16) + other[known], return_counts=True)
    firsts, seconds = np.divmod(pairs, 256)
    for label in sorted({*firsts.tolist(), *seconds.tolist()} - {0}):
        both = counts[(firsts == label) & (seconds == label)].sum()
        yield 2 * both / (counts[firsts == label].sum() + counts[seconds == label].sum())
