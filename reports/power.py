"""How many seeds a difference needs: the power of the paired t test at the measured deviation.

The test is that of `albench.reports.significance.paired`: two-sided, of one difference per seed (or split). If n
differences are normal with mean d and standard deviation s, their t follows the noncentral t distribution with n - 1
degrees of freedom and noncentrality sqrt(n) d / s. The power, the probability of |t| above its critical value, is
computed from its square, which follows the noncentral F distribution with 1 and n - 1 degrees of freedom and
noncentrality n d^2 / s^2: the same numbers, and scipy's lower tail of the noncentral t is NaN where it is tiny.

The deviation is an estimate too. Its 95 % interval, sqrt((n - 1) s^2 / q) with the quantiles q of chi-square with n - 1
degrees of freedom, gives a range of seeds: with 5 seeds from 0.6 to 2.9 times the deviation, so roughly from a third to
eight times the seeds.
"""

from __future__ import annotations

import math

import pandas as pd
from scipy import optimize, stats

from albench.reports.resampling import TAIL
from albench.reports.significance import LEVEL

POWER = 0.8
"""Probability with which a difference is to be found."""

_MOST = 1_000_000  # of which a normal approximation is exact to a few millionths
_KEPT = ["group", "label", "kind", "rival", "units", "unit", "sd"]


def power(effect: float, n: int, level: float = LEVEL) -> float:
    """Probability that the paired, two-sided t test of n differences has p below `level`.

    Args:
        effect: true mean of the differences, divided by their standard deviation.
        n: number of differences, at least 2.
        level: of the test.
    """
    critical = stats.t.isf(level / 2, n - 1)
    return float(stats.ncf.sf(critical**2, 1, n - 1, n * effect**2))


def needed(effect: float, level: float = LEVEL) -> float:
    """The smallest number of differences, at least 2, with a power of 0.8; NaN for an effect of NaN.

    Args:
        effect: see `power`; not 0.
        level: of the test.
    """
    if math.isnan(effect):
        return math.nan
    normal = ((stats.norm.isf(level / 2) + stats.norm.ppf(POWER)) / effect) ** 2  # which t makes larger
    if normal > _MOST:
        return math.ceil(normal)
    low, high = 1, max(2, math.ceil(normal))
    while power(effect, high, level) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level) >= POWER else (middle, high)
    return high


def detectable(n: int, level: float = LEVEL) -> float:
    """The effect, see `power`, that n differences find with a probability of 0.8; NaN for fewer than 2."""
    if n < 2:
        return math.nan
    high = 1.0
    while power(high, n, level) < POWER:
        high *= 2
    return float(optimize.brentq(lambda effect: power(effect, n, level) - POWER, 0.0, high, xtol=1e-10))


def deviation_interval(sd: float, n: int) -> tuple[float, float]:
    """95 % interval of the standard deviation of n normal values; NaN for fewer than 2."""
    if n < 2:
        return math.nan, math.nan
    low, high = (sd * math.sqrt((n - 1) / stats.chi2.isf(tail, n - 1)) for tail in (TAIL, 1 - TAIL))
    return low, high


def planned(sd: float, n: int, difference: float, tests: int) -> dict[str, float]:
    """What it needs to find a difference, and what is found with the present differences.

    Args:
        sd: sample standard deviation of n paired differences; NaN if it is unknown.
        n: of them.
        difference: to be found, in the unit of `sd`.
        tests: number of comparisons that Holm's correction counts.

    Returns:
        The ends `sd_low` and `sd_high` of the 95 % interval of the deviation; the number of differences `needed` at the
        measured deviation, and `needed_low` and `needed_high` at these ends, with a test at 0.05; `detected`, the
        difference that n find. With `_holm`, all of them with a test at 0.05 / `tests`, which is what the smallest
        p-value has to pass. All are NaN if the deviation is.
    """
    low, high = deviation_interval(sd, n)
    columns = {"sd_low": low, "sd_high": high}
    for suffix, level in (("", LEVEL), ("_holm", LEVEL / max(tests, 1))):
        columns |= {
            f"needed{suffix}": needed(difference / sd, level),
            f"needed{suffix}_low": needed(difference / low, level),
            f"needed{suffix}_high": needed(difference / high, level),
            f"detected{suffix}": sd * detectable(n, level),
        }
    return columns


def with_power(differences: pd.DataFrame, difference: float) -> pd.DataFrame:
    """Paired comparisons with what it needs to find a difference in them.

    Args:
        differences: rows as of `albench.reports.differences`, with one `sd` of `units` differences each.
        difference: in AUBC.

    Returns:
        Their columns `group`, `label`, `kind`, `rival`, `units`, `unit` and `sd`; `difference`; `tests`, the number of
        different pairs of the kind and group that are tested; and those of `planned`.
    """
    rows: list[dict[str, object]] = []
    for _, family in differences.groupby(["group", "kind"], sort=False) if len(differences) else ():
        tested = family[family["t"].notna()]
        tests = len({frozenset(pair) for pair in zip(tested["label"], tested["rival"], strict=True)})
        for _, row in family.iterrows():
            plan = planned(row["sd"], int(row["units"]), difference, tests)
            rows.append({name: row[name] for name in _KEPT} | {"difference": difference, "tests": tests} | plan)
    return pd.DataFrame(rows, columns=[*_KEPT, "difference", "tests", *planned(math.nan, 0, difference, 0)])
