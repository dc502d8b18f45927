"""Paired differences between the methods of a group, with tests corrected for their number."""

from __future__ import annotations

import numpy as np

from albench.reports.group import Group
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


def _tested(group: Group, kind: str, rivals: dict[str, str]) -> list[Row]:
    rows: list[Row] = []
    for label, rival in rivals.items():
        own, other = group.areas[label], group.areas[rival]
        seeds = sorted(own.keys() & other.keys())
        found = paired(group.metric.sign * np.array([own[seed] - other[seed] for seed in seeds]))
        rows.append(
            {
                "group": group.name,
                "label": label,
                "kind": kind,
                "rival": rival,
                "seeds": found.seeds,
                "gain": found.difference,
                "low": found.low,
                "high": found.high,
                "t": found.t,
                "flip": found.flip,
                "least": found.least,
            }
        )
    pairs = {frozenset((row["label"], row["rival"])): row for row in rows}
    for test in ("t", "flip"):
        corrected = holm([float(row[test]) for row in pairs.values()])
        by_pair = dict(zip(pairs, corrected, strict=True))
        for row in rows:
            row[f"{test}_holm"] = by_pair[frozenset((row["label"], row["rival"]))]
    return rows
