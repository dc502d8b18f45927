"""Paired differences between the methods of a group, with tests corrected for their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from albench.reports.case_bootstrap import interval_over_cases
from albench.reports.group import Group
from albench.reports.replicates import Replicate
from albench.reports.significance import holm, paired

Row = dict[str, str | float]


def differences(group: Group, baseline: str) -> list[Row]:
    """A row for every method and kind of rival: the baseline, and the best of the other methods.

    Tests are corrected within each kind.
    """
    areas = group.areas
    kinds: dict[str, dict[str, str]] = {"baseline": {}, "best rival": {}}
    for label in areas:
        if baseline in areas and label != baseline:
            kinds["baseline"][label] = baseline
        others = [other for other in group.ranking if other != label]
        if others:
            kinds["best rival"][label] = others[0]
    return [row for kind, rivals in kinds.items() for row in _tested(group, kind, rivals)]


Weights = Mapping[str, int]
"""{method: its weight in a contrast}: 1 and -1 for a difference, in which case it is the first minus the second."""


def gains(group: Group, weights: Weights, among: Set[Replicate] | None = None) -> dict[Replicate, float]:
    """Contrasts in AUBC of common replicates, of all or of some, positive where methods of weight 1 are better."""
    areas = group.areas
    return {
        key: group.metric.sign * sum(weight * areas[name][key] for name, weight in weights.items())
        for key in sorted(_common(areas, weights, among))
    }


def gain_over_cases(group: Group, weights: Weights, among: Set[Replicate] | None = None) -> tuple[float, float]:
    """95 % interval of the mean of `gains` over seeds and test cases; NaN if the metric is not a mean over cases."""
    areas = group.areas_of_cases
    common = _common(areas, weights, among)
    if not common:
        return float("nan"), float("nan")
    return interval_over_cases(
        {key: group.metric.sign * sum(weight * areas[name][key] for name, weight in weights.items()) for key in common}
    )


def _common(
    areas: Mapping[str, Mapping[Replicate, object]], methods: Iterable[str], among: Set[Replicate] | None
) -> set[Replicate]:
    common = set.intersection(*(set(areas[name]) for name in methods))
    return common if among is None else common & among


def difference_row(group: Group, weights: Weights, among: Set[Replicate] | None = None) -> Row:
    """A contrast of methods, its intervals and tests, as columns of a table; see `gains`."""
    found = paired(gains(group, weights, among))
    low, high = gain_over_cases(group, weights, among)
    return {
        "units": found.units,
        "unit": found.unit,
        "gain": found.difference,
        "sd": found.sd,
        "low": found.low,
        "high": found.high,
        "cases_low": low,
        "cases_high": high,
        "t": found.t,
        "flip": found.flip,
        "least": found.least,
    }


def _tested(group: Group, kind: str, rivals: dict[str, str]) -> list[Row]:
    rows: list[Row] = [
        {"group": group.name, "label": label, "kind": kind, "rival": rival}
        | difference_row(group, {label: 1, rival: -1})
        for label, rival in rivals.items()
    ]
    pairs = {frozenset((row["label"], row["rival"])): row for row in rows}
    for test in ("t", "flip"):
        corrected = holm([float(row[test]) for row in pairs.values()])
        by_pair = dict(zip(pairs, corrected, strict=True))
        for row in rows:
            row[f"{test}_holm"] = by_pair[frozenset((row["label"], row["rival"]))]
    return rows
