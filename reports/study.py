"""Methods compared over several datasets: their ranks, tests of these, and penalties.

A dataset is one observation, however many groups (regimes of labels or query sizes) it has: their runs share its
images, so groups of one dataset are not independent. Ranks and gains are averaged over the groups of a dataset first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from albench.reports.curve import Values
from albench.reports.group import Group
from albench.reports.rank_tests import Friedman, alike, critical_difference, friedman, ranked, signed_rank
from albench.reports.runs import Run
from albench.reports.significance import holm, penalty


@dataclass(frozen=True)
class Pair:
    """Two methods over all datasets.

    Attributes:
        one: a method.
        other: another one.
        gain: mean over datasets of the difference in mean AUBC, positive where `one` is better.
        p: of the signed-rank test of these differences.
        holm: the same, corrected for all pairs that are tested.
    """

    one: str
    other: str
    gain: float
    p: float
    holm: float


@dataclass(frozen=True)
class Study:
    """Several datasets on which the same methods are ranked.

    Attributes:
        groups: in which methods are compared, in the order of the report.
        methods: (k,) those that are ranked in every group, the best mean rank first.
        areas: (k, g) their mean AUBC in every group.
    """

    groups: Sequence[Group]
    methods: tuple[str, ...]
    areas: Values

    @property
    def datasets(self) -> list[str]:
        """Names of the n datasets."""
        return list(dict.fromkeys(group.dataset for group in self.groups))

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for group in self.groups for run in group.runs]

    @property
    def others(self) -> list[str]:
        """Methods that are in some group and not ranked in every group."""
        labels = dict.fromkeys(label for group in self.groups for label in group.methods)
        return [label for label in labels if label not in self.methods]

    @cached_property
    def ranks(self) -> Values:
        """(k, n) ranks of mean AUBC, 1 for the best, averaged over the groups of every dataset."""
        return self._by_dataset(ranked(self.areas, higher=self._sign > 0))

    @property
    def mean_ranks(self) -> Values:
        """(k,) ascending mean ranks over datasets."""
        return np.asarray(self.ranks.mean(1))

    @cached_property
    def friedman(self) -> Friedman:
        """The test whether all methods are alike."""
        return friedman(self.ranks)

    @cached_property
    def critical(self) -> float:
        """The critical difference of two mean ranks, after Nemenyi."""
        return critical_difference(*self.ranks.shape)

    @property
    def alike(self) -> list[tuple[int, int]]:
        """Positions of the methods that the critical difference does not tell apart, as `rank_tests.alike`."""
        return alike(self.mean_ranks.tolist(), self.critical)

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of methods, the one with the better mean rank first."""
        return self._tested(combinations(self.methods, 2))

    def against(self, baseline: str) -> list[Pair]:
        """The other methods with a baseline; none if it is not among the methods."""
        others = [label for label in self.methods if label != baseline]
        return self._tested((label, baseline) for label in others) if len(others) < len(self.methods) else []

    def _tested(self, pairs: Iterable[tuple[str, str]]) -> list[Pair]:
        """Pairs with signed-rank tests over datasets, which are corrected for their number."""
        values = dict(zip(self.methods, self._sign * self._by_dataset(self.areas), strict=True))
        gains = {(one, other): values[one] - values[other] for one, other in pairs}
        p_values = [signed_rank(gain) for gain in gains.values()]
        return [
            Pair(*names, float(gain.mean()), p, corrected)
            for (names, gain), p, corrected in zip(gains.items(), p_values, holm(p_values), strict=True)
        ]

    @cached_property
    def compared(self) -> list[str]:
        """The methods that are in every group, those that are not ranked last."""
        return [*self.methods, *(o for o in self.others if all(o in group.methods for group in self.groups))]

    @cached_property
    def penalties(self) -> Values:
        """(m, m, g) share of rounds of a group in which `compared` i is significantly better than j.

        See `albench.reports.significance.penalty`.
        """
        higher = self._sign > 0
        table = [
            [
                [penalty(group.curves[one], group.curves[other], higher=higher) for group in self.groups]
                for other in self.compared
            ]
            for one in self.compared
        ]
        found = np.array(table)
        found[range(len(table)), range(len(table))] = np.nan
        return found

    @property
    def _sign(self) -> int:
        return self.groups[0].metric.sign

    def _by_dataset(self, values: NDArray[np.float64]) -> Values:
        """(k, n) means of (k, g) values over the groups of every dataset."""
        own = [[group.dataset == name for group in self.groups] for name in self.datasets]
        return np.stack([values[:, mask].mean(1) for mask in own], axis=1)


def study_of(groups: Sequence[Group]) -> Study | None:
    """The study of some groups; None of one dataset, or if fewer than two methods are ranked in every group."""
    if len({group.dataset for group in groups}) < 2:
        return None
    methods = [label for label in groups[0].means if all(label in group.means for group in groups)]
    if len(methods) < 2:
        return None
    areas = np.array([[group.means[label] for group in groups] for label in methods])
    order = np.argsort(Study(groups, tuple(methods), areas).mean_ranks, kind="stable")
    return Study(groups, tuple(methods[i] for i in order), areas[order])
