"""The results of comparable runs: every number as a DataFrame, for notebooks and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from albench.bundles import with_published
from albench.errors import ConfigError, StoreError
from albench.reports.attribution import COLUMNS as ATTRIBUTION
from albench.reports.attribution import attribution
from albench.reports.best_baseline import COLUMNS as BEST_BASELINE
from albench.reports.best_baseline import against_best
from albench.reports.collection import Collection, collect
from albench.reports.compare import combine
from albench.reports.costs import (
    AXES,
    PHASES,
    annotation_cost,
    cpu_seconds,
    seconds,
    share,
    slices_read,
    step_seconds,
    steps,
)
from albench.reports.curve_numbers import area_and_final, numbers
from albench.reports.differences import differences
from albench.reports.file_names import check_distinct
from albench.reports.group import Group, groups_of, only_comparable
from albench.reports.paper_values import METRIC as METRIC_OF_PAPER
from albench.reports.power import with_power
from albench.reports.pseudo_labels import COLUMNS as PSEUDO_LABELS
from albench.reports.pseudo_labels import pseudo_label_rows
from albench.reports.replicates import Replicate
from albench.reports.reported_metrics import DEFAULT, Metric, find_metric
from albench.reports.runs import REFERENCE
from albench.reports.significance import ranks, wins
from albench.reports.study import Study, study_of
from albench.reports.variance_parts import VarianceParts, variance_parts
from albench.runs.scores import ALL


@dataclass(frozen=True)
class Results:
    """Runs that were read and verified once, and the numbers that follow from them.

    Attributes:
        folder: of the runs.
        collection: all runs, and the problems of those that are left out.
        metric: what is compared.
        baseline: label of the method that the others are compared with.
        margin: how far below the reference a value is still close to it.
        groups: in which methods are compared.
        planned: difference in AUBC for which the report says how many seeds it needs; None says nothing.
    """

    folder: Path
    collection: Collection
    metric: Metric
    baseline: str
    margin: float
    groups: list[Group]
    planned: float | None = None

    def group(self, name: str) -> Group:
        """The group of this name. Raises ConfigError if the name is unknown."""
        for group in self.groups:
            if group.name == name:
                return group
        raise ConfigError(f"a group must be one of {', '.join(g.name for g in self.groups)}, got '{name}'")

    def metric_in(self, group: Group) -> Metric:
        """The metric, with the tolerance of the group in its title if it has one."""
        return self.metric.at_tolerance(group.some_run.reader.config.protocol.nsd_tolerance)

    @cached_property
    def in_metric_of_paper(self) -> Results:
        """The same runs with the metric of the paper's tables."""
        metric = find_metric(METRIC_OF_PAPER, self.metric.class_name)
        if self.metric == metric:
            return self
        return replace(self, metric=metric, margin=metric.margin, groups=groups_of(self.collection, metric))

    def curves(self) -> pd.DataFrame:
        """One row per group, label, replicate and round: labels that count, their share, and the value."""
        rows = [
            (group.name, label, *replicate, index, curve.labeled[index], curve.share[index], value)
            for group in self.groups
            for label, curve in group.curves.items()
            for replicate, values in zip(curve.replicates, curve.values, strict=True)
            for index, value in enumerate(values)
        ]
        columns = ["group", "label", *Replicate._fields, "round", "labeled", "share", "value"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def _efficiency(self) -> pd.DataFrame:
        rows = [
            {"group": group.name, "label": label} | numbers(group, label, self.baseline, self.margin)
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

    def power(self, difference: float | None = None) -> pd.DataFrame:
        """How many seeds, or splits, a difference in AUBC needs, one row per row of `differences`.

        See `albench.reports.power`. Without rows, the deviation of no difference is known.

        Args:
            difference: in the unit of the metric; that of the report if not given.

        Raises:
            ConfigError: the difference is not above 0, or neither given here nor to the report.
        """
        if difference is not None:
            return with_power(self._differences, _checked_difference(difference))
        return self._planned.copy()

    @cached_property
    def _planned(self) -> pd.DataFrame:
        if self.planned is None:
            raise ConfigError("a power analysis needs a difference, got none: give one in AUBC, such as 0.01")
        return with_power(self._differences, self.planned)

    @cached_property
    def _best_baseline(self) -> pd.DataFrame:
        return pd.DataFrame([row for group in self.groups for row in against_best(group)], columns=BEST_BASELINE)

    def best_baseline(self) -> pd.DataFrame:
        """Gains in AUBC over the best of the baselines that look at no image, see `albench.reports.best_baseline`.

        One row per group and ranked method that is no such baseline, in groups with at least two of them.
        """
        return self._best_baseline.copy()

    def pseudo_labels(self) -> pd.DataFrame:
        """Number and quality of pseudo-labels, one row per group, label, replicate and round that trained on some."""
        rows = [row for group in self.groups for row in pseudo_label_rows(group)]
        return pd.DataFrame(rows, columns=PSEUDO_LABELS)

    def wins(self, group: str) -> pd.DataFrame:
        """Share of pairs of replicate and round, without round 0, in which the row is better than the column."""
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
        """Mean ranks in AUBC by group and label, and their range when any one seed, or split, is left out."""
        rows = []
        for group in self.groups:
            own = {label: group.areas[label] for label in group.ranked if group.areas}
            found = ranks(own, higher=self.metric.higher)
            if found is None:
                continue
            for label, rank in found.mean.items():
                row = {"group": group.name, "label": label, "units": found.units, "unit": found.unit, "rank": rank}
                row |= {"low": found.low[label], "high": found.high[label], "may_be_first": label in found.first}
                rows.append(row)
        columns = ["group", "label", "units", "unit", "rank", "low", "high", "may_be_first"]
        return pd.DataFrame(rows, columns=columns)

    def classes(self) -> pd.DataFrame:
        """AUBC and the value of the last round for each of several classes.

        One row per group, label and class; the class `all` is all of them together. No rows for a group with one class,
        or if the metric is that of one class.
        """
        rows = [
            {"group": group.name, "label": label, "class": name} | area_and_final(own, label)
            for group in self.groups
            for name, own in self.by_class(group).items()
            for label in own.curves
        ]
        return pd.DataFrame(rows, columns=["group", "label", "class", "aubc", "aubc_sd", "final", "final_sd"])

    def by_class(self, group: Group) -> dict[str, Group]:
        """{class: the group compared by the metric of that class}, at last `all`; empty without several classes."""
        if len(group.classes) == 1 or self.metric.class_name is not None:
            return {}
        return {name: replace(group, metric=self.metric.of_class(name)) for name in group.classes} | {ALL: group}

    @cached_property
    def study(self) -> Study | None:
        """The methods compared over datasets; None of one dataset, or without two methods that are in every group."""
        return study_of(self.groups)

    def ranks_over_datasets(self) -> pd.DataFrame:
        """One row per label and dataset: the rank of its mean AUBC, averaged over the groups of the dataset."""
        rows = [
            (label, dataset, rank)
            for study in filter(None, [self.study])
            for label, ranks in zip(study.methods, study.ranks.tolist(), strict=True)
            for dataset, rank in zip(study.datasets, ranks, strict=True)
        ]
        return pd.DataFrame(rows, columns=["label", "dataset", "rank"])

    def pairs_over_datasets(self) -> pd.DataFrame:
        """One row per pair of labels: mean gain in AUBC, and the signed-rank test over datasets with Holm's correction.

        The `label` has the better mean rank.
        """
        rows = [astuple(pair) for study in filter(None, [self.study]) for pair in study.pairs]
        return pd.DataFrame(rows, columns=["label", "rival", "gain", "signed_rank", "signed_rank_holm"])

    def penalties(self) -> pd.DataFrame:
        """One row per pair of labels and group: share of rounds in which the label is significantly better.

        Their sums over groups are the pairwise penalty matrix, see `albench.reports.significance.penalty`. Only of
        several datasets.
        """
        rows = [
            (one, other, group.name, share)
            for study in filter(None, [self.study])
            for one, row in zip(study.compared, study.penalties.tolist(), strict=True)
            for other, shares in zip(study.compared, row, strict=True)
            for group, share in zip(study.groups, shares, strict=True)
            if one != other
        ]
        return pd.DataFrame(rows, columns=["label", "rival", "group", "share"])

    def variances(self) -> pd.DataFrame:
        """Standard deviations of AUBC by splits, seeds and runs, one row per group and label with several splits."""
        found = [
            (group.name, label, *astuple(parts))
            for group in self.groups
            for label, areas in group.areas.items()
            if (parts := variance_parts(areas)) is not None
        ]
        names = [field.name for field in fields(VarianceParts)]
        return pd.DataFrame(found, columns=["group", "label", *names])

    @cached_property
    def _costs(self) -> pd.DataFrame:
        rows = []
        for group in self.groups:
            for label, runs in group.methods.items():
                for run in runs:
                    axes = {axis: annotation_cost(run, axis) for axis in AXES}
                    time = {f"{phase}_seconds": seconds(run, phase) for phase in PHASES}
                    columns = {"share": share(run)} | axes | time
                    columns |= {f"{phase}_cpu_seconds": cpu_seconds(run, phase) for phase in PHASES}
                    columns |= {"steps": steps(run), "slices_read": slices_read(run), "step_seconds": step_seconds(run)}
                    for index, record in enumerate(run.reader.records):
                        row = {"group": group.name, "label": label} | run.replicate._asdict() | {"round": index}
                        row |= {"value": self.metric.of(record)}
                        rows.append(row | {name: float(values[index]) for name, values in columns.items()})
        return pd.DataFrame(rows)

    def costs(self) -> pd.DataFrame:
        """One row per group, label, replicate and round: annotation cost of all labels that count, time and training.

        `steps` are the optimizer steps taken until the evaluation of the round, those of a shared training of round 0
        included, and `slices_read` the slices that were read for them. `step_seconds` is the median over the epochs of
        the round.
        """
        return self._costs.copy()

    @cached_property
    def _attribution(self) -> pd.DataFrame:
        return pd.DataFrame([row for group in self.groups for row in attribution(group)], columns=ATTRIBUTION)

    def attribution(self) -> pd.DataFrame:
        """What query and training contribute to the difference in AUBC between a method and random.

        One row per group, label and part, see `albench.reports.attribution`: the `method` minus the `rival`, and the
        ratio of their optimizer steps.
        """
        return self._attribution.copy()


def load(
    folder: Path | str,
    *,
    metric: str = DEFAULT,
    class_name: str | None = None,
    baseline: str | None = None,
    margin: float | None = None,
    compare: Path | str | None = None,
    only: Sequence[str] | None = None,
    power: float | None = None,
) -> Results:
    """Read the runs of a folder.

    Args:
        folder: of a suite, one that contains runs at any depth, or a bundle; or the name of published results.
        metric: see `albench.reports.reported_metrics`. The tables of the paper always have the paper's.
        class_name: whose metrics are compared; None takes all classes together.
        baseline: label of the method that the others are compared with; None takes `random`.
        margin: how far below the reference a value is still close to it; None takes 0.01, or 1 mm for distances.
        compare: another such folder, whose runs are compared with these where their protocols are equal.
        only: labels of the methods to report, beside the supervised reference; None takes all.
        power: difference in AUBC for which the report says how many seeds it needs; None says nothing.

    Raises:
        ConfigError: the metric, the class, the baseline or a label is unknown, the margin is negative, or the
            difference is not above 0.
        StoreError: no run is finished and undamaged, or a bundle is damaged.
    """
    chosen, folder = find_metric(metric, class_name), with_published(Path(folder))
    if margin is not None and not margin >= 0:
        raise ConfigError(f"--margin must be at least 0, got {margin}: it is a distance to the reference")
    planned = None if power is None else _checked_difference(power)
    collection = only_comparable(collect(folder))
    if compare is not None:
        other = with_published(Path(compare))
        collection = combine(collection, only_comparable(collect(other)), other)
    if only is not None:
        collection = collection.limited_to(only)
    groups = groups_of(collection, chosen)
    if not groups:
        raise StoreError(_nothing(folder, collection))
    _check_class(class_name, groups)
    labels = list(dict.fromkeys(label for group in groups for label in group.methods))
    check_distinct(group.name for group in groups)
    check_distinct(labels)
    if baseline not in (None, *labels):
        raise ConfigError(f"--baseline must be one of {'; '.join(labels)}, got '{baseline}'")
    close = chosen.margin if margin is None else margin
    return Results(folder, collection, chosen, baseline or "random", close, groups, planned)


def _checked_difference(difference: float) -> float:
    if not 0 < difference < math.inf:
        raise ConfigError(f"--power must be above 0, got {difference:g}: it is a difference in AUBC, such as 0.01")
    return difference


def _check_class(class_name: str | None, groups: Sequence[Group]) -> None:
    """Raise ConfigError if some group does not have the class."""
    known = [name for name in groups[0].classes if all(name in group.classes for group in groups)]
    if class_name in (None, *known):
        return
    if not known:
        names = "; ".join(f"{group.name}: {', '.join(group.classes)}" for group in groups)
        raise ConfigError(
            f"--class must be a class of every group, they have none in common ({names}): give the folder of one group"
        )
    raise ConfigError(f"--class must be one of {', '.join(known)}, got '{class_name}'")


def _nothing(folder: Path, collection: Collection) -> str:
    rule = f"a report needs a finished run of a strategy other than {REFERENCE}, '{folder}' has none"
    reasons = [*collection.notes, *(problem.sentence for problem in collection.problems)]
    if reasons:
        return f"{rule}: {reasons[0]}"
    return f"{rule}: give the folder of a suite, or the --out of albench run"
