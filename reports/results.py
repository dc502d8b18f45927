"""A results: the comparable runs of a folder, and every number about them as a DataFrame, for notebooks and reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from albench.errors import ConfigError, StoreError
from albench.reports.collection import Collection, collect
from albench.reports.compare import combine
from albench.reports.costs import AXES, PHASES, annotation, seconds, steps
from albench.reports.curve_numbers import numbers
from albench.reports.differences import differences
from albench.reports.group import Group, groups_of, only_comparable
from albench.reports.metric import Metric, find_metric
from albench.reports.runs import REFERENCE
from albench.reports.significance import ranks, wins
from albench.reports.tables.table import slug


@dataclass(frozen=True)
class Results:
    """Runs that were read once, and what follows from them.

    Attributes:
        folder: where they lie.
        collection: all runs, and the problems of those that are left out.
        metric: what is compared.
        baseline: label of the method that the others are compared with.
        margin: how far below the reference still counts as almost there.
        groups: what is compared within.
    """

    folder: Path
    collection: Collection
    metric: Metric
    baseline: str
    margin: float
    groups: list[Group]

    def group(self, name: str) -> Group:
        """The group of this name. Raises ConfigError if there is none."""
        for group in self.groups:
            if group.name == name:
                return group
        raise ConfigError(f"a group must be one of {', '.join(g.name for g in self.groups)}, got '{name}'")

    def curves(self) -> pd.DataFrame:
        """One row per group, label, seed and round: labeled slices, their share, and the value."""
        rows = [
            (group.name, label, seed, index, curve.labeled[index], curve.share[index], value)
            for group in self.groups
            for label, curve in group.curves.items()
            for seed, values in zip(curve.seeds, curve.values, strict=True)
            for index, value in enumerate(values)
        ]
        return pd.DataFrame(rows, columns=["group", "label", "seed", "round", "labeled", "share", "value"])

    @cached_property
    def _efficiency(self) -> pd.DataFrame:
        rows = [
            {"group": group.name, "label": label} | numbers(group, label, self.margin)
            for group in self.groups
            for label in group.curves
        ]
        return pd.DataFrame(rows)

    def efficiency(self) -> pd.DataFrame:
        """One row per group and label: the numbers of its curve, see docs/reading-the-report.md."""
        return self._efficiency.copy()

    @cached_property
    def _differences(self) -> pd.DataFrame:
        return pd.DataFrame([row for group in self.groups for row in differences(group, self.baseline)])

    def differences(self) -> pd.DataFrame:
        """Paired differences in AUBC, positive where the label is better than its rival.

        One row per group, label and kind of rival: the baseline, and the best of the other methods. Holm's correction
        is over all different pairs of one kind within a group.
        """
        return self._differences.copy()

    def wins(self, group: str) -> pd.DataFrame:
        """How often the row is better than the column, over seeds and rounds after round 0."""
        curves = self.group(group).curves
        table = [
            [
                np.nan if one == other else wins(curves[one], curves[other], higher=self.metric.higher)
                for other in curves
            ]
            for one in curves
        ]
        return pd.DataFrame(table, index=list(curves), columns=list(curves))

    def ranks(self) -> pd.DataFrame:
        """Mean ranks in AUBC by group and label, and their range when any one seed is left out."""
        rows = []
        for group in self.groups:
            own = {label: group.areas[label] for label in group.complete if group.areas}
            found = ranks(own, higher=self.metric.higher)
            for label in found.mean if found else []:
                assert found is not None
                rows.append(
                    {
                        "group": group.name,
                        "label": label,
                        "seeds": len(found.seeds),
                        "rank": found.mean[label],
                        "low": found.low[label],
                        "high": found.high[label],
                        "may_be_first": label in found.first,
                    }
                )
        columns = ["group", "label", "seeds", "rank", "low", "high", "may_be_first"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def _costs(self) -> pd.DataFrame:
        rows = []
        for group in self.groups:
            for label, runs in group.methods.items():
                for run in runs:
                    axes = {axis: annotation(run, axis) for axis in AXES}
                    time = {f"{phase}_seconds": seconds(run, phase) for phase in PHASES}
                    columns = axes | time | {"steps": steps(run)}
                    for index, record in enumerate(run.records):
                        row = {"group": group.name, "label": label, "seed": run.seed, "round": index}
                        row |= {"share": record["share"], "value": self.metric.of(record)}
                        rows.append(row | {name: float(values[index]) for name, values in columns.items()})
        return pd.DataFrame(rows)

    def costs(self) -> pd.DataFrame:
        """One row per group, label, seed and round: what all its labels cost, and seconds and optimizer steps."""
        return self._costs.copy()


def load(
    folder: Path | str,
    *,
    metric: str = "dice_slice",
    baseline: str | None = None,
    margin: float | None = None,
    compare: Path | str | None = None,
) -> Results:
    """Read the runs of a folder.

    Args:
        folder: of a suite, or with runs anywhere below.
        metric: see `albench.reports.metric`.
        baseline: label of the method that the others are compared with; None takes `random`.
        margin: how far below the reference still counts as almost there; None takes 0.01, or 1 mm.
        compare: another such folder, whose runs stand beside these where their protocol is the same.

    Raises:
        ConfigError: there is no such metric or baseline, or the margin is negative.
        StoreError: there is no finished run.
    """
    chosen, folder = find_metric(metric), Path(folder)
    if margin is not None and not margin >= 0:
        raise ConfigError(f"--margin must be at least 0, got {margin}: it is how far below the reference is enough")
    collection = only_comparable(collect(folder))
    if compare is not None:
        collection = combine(collection, only_comparable(collect(Path(compare))), Path(compare))
    groups = groups_of(collection, chosen)
    if not groups:
        raise StoreError(_nothing(folder, collection))
    labels = list(dict.fromkeys(label for group in groups for label in group.methods))
    _check_names([group.name for group in groups])
    _check_names(labels)
    if baseline not in (None, *labels):
        raise ConfigError(f"--baseline must be one of {', '.join(labels)}, got '{baseline}'")
    return Results(
        folder, collection, chosen, baseline or "random", chosen.margin if margin is None else margin, groups
    )


def _check_names(names: list[str]) -> None:
    """Files are named by groups and methods, and one must not take another's place."""
    known: dict[str, str] = {}
    for name in names:
        if slug(name) in known:
            raise ConfigError(
                f"names of groups and of methods must differ in letters or digits, '{known[slug(name)]}' and '{name}' "
                "do not: rename one in the suite"
            )
        known[slug(name)] = name


def _nothing(folder: Path, collection: Collection) -> str:
    rule = f"a report needs a finished run of a strategy other than {REFERENCE}, '{folder}' has none"
    if collection.problems:
        return f"{rule}: {collection.problems[0].sentence}"
    return f"{rule}: give the folder in which albench run or a suite left its runs"
