"""Whether a method beats the best of the baselines that look at no image.

Which baseline is the best is not known. Whoever takes the one with the highest mean selects it by the numbers that are
then tested. Here none is selected: the gain over the best is the least of the gains g_1, ..., g_k over all of them,

    g = min_b g_b,

so a method beats the best if it beats every one. The intersection-union test [1] of this rejects if every paired,
one-sided t test does, and needs no correction for k. The interval of g ends at the lowest of the lower ends of the 95 %
t intervals of g_b: it lies above g only if that of the best baseline lies above its own. Its upper end is the lowest of
the upper ends with a tail of 2.5 % / k each, because it lies below g if any of them lies below its own.

[1] Berger and Hsu. Bioequivalence trials, intersection-union tests and equivalence confidence sets. Statistical Science
11, 1996.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from albench.reports.differences import gains
from albench.reports.group import Group
from albench.reports.replicates import Replicate
from albench.reports.resampling import TAIL
from albench.reports.significance import holm, paired

BLIND = frozenset({"foreground-random", "random", "stratified", "strided"})
"""Strategies of albench whose queries look at no image. `foreground-random` has the oracle look at masks."""

COLUMNS = ("group", "label", "rival", "baselines", "units", "unit", "gain", "low", "high", "p", "p_holm")
"""Of the table of the rows of `against_best`."""


@dataclass(frozen=True)
class OverBest:
    """The gain of a method over the best of some baselines.

    Attributes:
        rival: the baseline with the highest mean.
        units: number of seeds, or splits, that the method and all baselines have.
        unit: `seed` or `split`.
        gain: over the rival, in the mean.
        low: lower end of the 95 % interval of the gain over the best baseline; NaN with one unit, or if the gain over
            any baseline is the same in all units.
        high: upper end; NaN likewise.
        p: two-sided p-value of the test that the method beats every baseline, 1 if it does not in the mean; NaN
            likewise.
    """

    rival: str
    units: int
    unit: str
    gain: float
    low: float
    high: float
    p: float


def over_best(found: Mapping[str, Mapping[Replicate, float]]) -> OverBest:
    """The gain over the best of some baselines.

    Args:
        found: {baseline: {replicate: gain over it}}, all with the same replicates.
    """
    tests = {baseline: paired(own) for baseline, own in found.items()}
    rival = min(tests, key=lambda baseline: tests[baseline].difference)
    least = tests[rival]
    low = high = p = math.nan
    if not any(math.isnan(test.sd) for test in tests.values()):
        freedom, root = least.units - 1, math.sqrt(least.units)
        half = float(stats.t.isf(TAIL / len(tests), freedom)) / root
        low = min(test.low for test in tests.values())
        high = min(test.difference + half * test.sd for test in tests.values())
        one_sided = max(stats.t.sf(test.difference * root / test.sd, freedom) for test in tests.values())
        p = min(1.0, 2 * float(one_sided))
    return OverBest(rival, least.units, least.unit, least.difference, low, high, p)


def blind_baselines(group: Group) -> list[str]:
    """The methods of a group that look at no image and are complete; not plugins with such a name."""
    return [
        label
        for label, runs in group.methods.items()
        if label in group.complete and runs[0].strategy in BLIND and runs[0].reader.config.strategy.code is None
    ]


def against_best(group: Group) -> list[dict[str, str | float]]:
    """A row for every ranked method that is no such baseline; none with fewer than two baselines.

    `baselines` names them, and `p_holm` is corrected over the methods of the group.
    """
    baselines = blind_baselines(group)
    methods = [label for label in group.ranked if label not in baselines and group.areas]
    rows: list[dict[str, str | float]] = []
    for label in methods if len(baselines) > 1 else ():
        common = set.intersection(*(set(group.areas[name]) for name in (label, *baselines)))
        if not common:
            continue
        found = over_best({baseline: gains(group, {label: 1, baseline: -1}, common) for baseline in baselines})
        row: dict[str, str | float] = {"group": group.name, "label": label, "rival": found.rival}
        row |= {"baselines": "; ".join(baselines), "units": found.units, "unit": found.unit, "gain": found.gain}
        rows.append(row | {"low": found.low, "high": found.high, "p": found.p})
    corrected = holm([float(row["p"]) for row in rows])
    return [row | {"p_holm": p} for row, p in zip(rows, corrected, strict=True)]
