"""What the comparison over datasets says, in sentences, and what so few datasets cannot tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from albench.errors import counted
from albench.reports.group import Group
from albench.reports.rank_tests import LEVEL, least_signed_rank
from albench.reports.results import Results
from albench.reports.study import Study

_MOST = 10  # pairs by name
_ROUNDING = 1e-9  # of mean ranks


def summarize_study(results: Results) -> list[str]:
    """The best mean rank, the tests and what they can tell; empty for one dataset."""
    datasets = _datasets(results.groups)
    if len(datasets) < 2:
        return []
    study = results.study
    if study is None:
        over = f"Over {len(datasets)} datasets ({'; '.join(datasets)})"
        return [f"{over} nothing is ranked: fewer than two methods are ranked in every group."]
    return [_lead(study), *about_ranks(results, study), *evidence(study), *not_compared(study)]


def about_ranks(results: Results, study: Study) -> list[str]:
    """What is ranked, and what counts as one observation."""
    number, datasets = len(study.groups), len(study.datasets)
    ranks = f"Ranks are those of the mean AUBC in {results.metric.title} in each of {number} groups, 1 for the best."
    if number == datasets:
        return [ranks]
    return [
        f"{ranks} Groups of one dataset share its images and are not independent, so their ranks are averaged first, "
        f"and each of the {datasets} datasets counts once."
    ]


def evidence(study: Study) -> list[str]:
    """The test of Friedman and what follows it. A test that cannot reach 0.05 claims nothing."""
    found, (methods, datasets) = study.friedman, study.ranks.shape
    of = f"{methods} methods on {datasets} datasets"
    if found.least > LEVEL:
        return [
            f"Nothing is claimed over datasets: with {of}, Friedman's test cannot have a p below {found.least:.3g}.",
        ]
    if math.isnan(found.p):
        return [f"The {of} are ranked alike everywhere, so no two of them are said to differ."]
    f = "is infinite" if math.isinf(found.f) else f"= {found.f:.2f}"
    test = (
        "exact test of Friedman" if found.exact else f"Friedman's test with the correction of Iman and Davenport, F {f}"
    )
    if found.p >= LEVEL:
        return [f"The {of} are not shown to differ ({test}, p = {found.p:.3g}), so no two of them are said to."]
    return [f"The {of} differ ({test}, p = {found.p:.3g}).", _nemenyi(study), _signed_rank(study)]


def not_compared(study: Study) -> list[str]:
    """Methods of some group that are not ranked in every one."""
    return [f"Not ranked in every group: {'; '.join(study.others)}."] if study.others else []


def _lead(study: Study) -> str:
    means, over = study.mean_ranks, f"over {len(study.datasets)} datasets ({'; '.join(study.datasets)})"
    first = [name for name, mean in zip(study.methods, means, strict=True) if mean <= means[0] + _ROUNDING]
    if len(first) > 1:
        return f"{', '.join(first[:-1])} and {first[-1]} share the best mean rank {over}, {means[0]:.2f}."
    return f"{first[0]} has the best mean rank {over}, {means[0]:.2f}, before {study.methods[1]} with {means[1]:.2f}."


def _nemenyi(study: Study) -> str:
    methods = len(study.methods)
    critical = f"{study.critical:.2f} (critical difference of Nemenyi at {LEVEL})"
    if study.critical >= methods - 1:
        return f"Two mean ranks would have to differ by {critical}, which is not possible with {methods} methods."
    means = dict(zip(study.methods, study.mean_ranks, strict=True))
    different = [
        (pair.one, pair.other) for pair in study.pairs if means[pair.other] - means[pair.one] >= study.critical
    ]
    return f"Mean ranks differ by at least {critical}{_named(different)}."


def _signed_rank(study: Study) -> str:
    tests, datasets = len(study.pairs), len(study.datasets)
    test = f"Wilcoxon's signed-rank test, after Holm's correction for {counted(tests, 'pair')} of methods,"
    least = min(1.0, tests * least_signed_rank(datasets))
    if least > LEVEL:
        return f"{test} cannot have a p below {least:.3g} with {datasets} datasets, so it claims nothing."
    return f"{test} has p < {LEVEL}{_named([(pair.one, pair.other) for pair in study.pairs if pair.holm < LEVEL])}."


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    """Pairs by name if they are few: the first of each is the better one."""
    if not pairs:
        return " for no two methods"
    listed = "; ".join(f"{one} before {other}" for one, other in pairs[:_MOST])
    return f": {listed}" + (f"; and {len(pairs) - _MOST} more" if len(pairs) > _MOST else "")


def _datasets(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.dataset for group in groups))
