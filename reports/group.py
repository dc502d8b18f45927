"""Groups of runs that can be compared: equal data, protocol, training and network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from albench.reports.arms import is_arm
from albench.reports.collection import Collection
from albench.reports.curve import Curve, Values, curve_of
from albench.reports.efficiency import area, common_range, mean_and_sd
from albench.reports.floors import TOLERANCE, Floor, floor_of, predicts_everything, predicts_nothing
from albench.reports.paper_values import methods as published_methods
from albench.reports.replicates import Replicate
from albench.reports.reported_metrics import Metric
from albench.reports.runs import REFERENCE, Problem, Run
from albench.runs.comparability import differences, protocol_digest


@dataclass(frozen=True)
class Group:
    """Runs of one group.

    Attributes:
        name: of the group.
        metric: what is compared.
        methods: {label: its runs}, in the order of tables.
        reference: runs of the supervised reference; may be empty.
        borrowed: the group that the reference belongs to; None if it is this one.
    """

    name: str
    metric: Metric
    methods: dict[str, list[Run]]
    reference: list[Run]
    borrowed: str | None = None

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The curves of every method."""
        return {label: curve_of(runs, self.metric) for label, runs in self.methods.items()}

    @cached_property
    def reference_curve(self) -> Curve | None:
        """The curve of the supervised reference, which has a single round; None without one."""
        return curve_of(self.reference, self.metric) if self.reference else None

    @cached_property
    def range(self) -> tuple[float, float] | None:
        """Labeled shares that all curves cover from round 1 on."""
        return common_range(list(self.curves.values())) if self.curves else None

    @cached_property
    def areas(self) -> dict[str, dict[Replicate, float]]:
        """Area under the curve (AUBC) of every method and replicate, over the common range; empty without one."""
        if self.range is None:
            return {}
        low, high = self.range
        return {
            label: dict(zip(curve.replicates, area(curve.share, curve.values, low, high).tolist(), strict=True))
            for label, curve in self.curves.items()
        }

    @cached_property
    def areas_of_cases(self) -> dict[str, dict[Replicate, Values]]:
        """{method: {replicate: (c,) AUBC of every test case}}, whose means are `areas`.

        Empty for a metric that is not a mean over test cases.
        """
        if not self.metric.over_cases or self.metric.part != "test":
            return {label: {} for label in self.methods}
        return {
            label: {run.replicate: self._area_of_cases(run, self.curves[label]) for run in runs}
            for label, runs in self.methods.items()
        }

    def _area_of_cases(self, run: Run, curve: Curve) -> Values:
        cases, records = run.reader.split.test, run.reader.records[: len(curve.share)]
        if self.range is None:
            return np.full(len(cases), np.nan)
        values = [[self.metric.of_case(record, case) for record in records] for case in cases]
        return area(curve.share, np.array(values, dtype=float), *self.range)

    @cached_property
    def complete(self) -> list[str]:
        """Methods that have every replicate that most methods have; all methods if fewer than two do.

        Means over different replicates are not comparable, so the others are not ranked.
        """
        held = Counter(replicate for curve in self.curves.values() for replicate in curve.replicates)
        usual = {replicate for replicate, times in held.items() if 2 * times > len(self.curves)}
        complete = [label for label, curve in self.curves.items() if usual <= set(curve.replicates)]
        return complete if len(complete) > 1 else list(self.curves)

    @property
    def incomplete(self) -> list[str]:
        """Methods that are not complete."""
        return [label for label in self.methods if label not in self.complete]

    @cached_property
    def arms(self) -> list[str]:
        """Methods that only tell the query of another one from its training; none if all are of one strategy."""
        if len({runs[0].strategy for runs in self.methods.values()}) == 1:  # an ablation compares its arms
            return []
        return [label for label, runs in self.methods.items() if is_arm(runs)]

    @cached_property
    def use_labels(self) -> list[str]:
        """Baselines that have the oracle draw by the truth of unlabeled slices."""
        return [label for label, runs in self.methods.items() if runs[0].reader.environment.uses_labels]

    @cached_property
    def floor(self) -> Floor:
        """What predicting nothing and predicting everything score in the metric."""
        return floor_of(self.runs, self.metric)

    @cached_property
    def without_prediction(self) -> list[str]:
        """Methods that predict nothing, or everything, in every round with a query."""
        return [label for label, runs in self.methods.items() if self._predict_alike(runs)]

    @cached_property
    def at_floor(self) -> list[str]:
        """Methods at a floor: without predictions, or with a mean AUBC that is no better than predicting nothing."""
        return [
            label
            for label in self.methods
            if label in self.without_prediction
            or (self.areas and self._is_at_floor(float(np.mean(list(self.areas[label].values())))))
        ]

    @cached_property
    def reference_at_floor(self) -> bool:
        """Whether the supervised reference is at a floor itself, so that reaching it says nothing."""
        return bool(self.reference) and (self._is_at_floor(self.supervised[0]) or self._predict_alike(self.reference))

    def _is_at_floor(self, value: float) -> bool:
        return self.metric.higher and value <= self.floor.nothing + TOLERANCE

    def _predict_alike(self, runs: Sequence[Run]) -> bool:
        name = self.metric.class_name
        return predicts_nothing(runs, name) or predicts_everything(runs, name)

    @cached_property
    def ranked(self) -> list[str]:
        """Methods that can lead, be marked as best, and be a best rival.

        None at a floor can. Arms are no methods of their own, and a baseline that uses labels is none that can be used;
        but if this leaves fewer than two, they are ranked too.
        """
        complete = [label for label in self.complete if label not in self.at_floor]
        can = [label for label in complete if label not in (*self.arms, *self.use_labels)]
        return can if len(can) > 1 else complete

    @cached_property
    def means(self) -> dict[str, float]:
        """Mean AUBC of the ranked methods over the replicates that all of them have, if any; without those of NaN."""
        own = {label: self.areas[label] for label in self.ranked if self.areas}
        common = set.intersection(*map(set, own.values())) if own else set()
        means = {
            label: float(np.mean([value for replicate, value in areas.items() if not common or replicate in common]))
            for label, areas in own.items()
        }
        return {label: mean for label, mean in means.items() if not np.isnan(mean)}

    @cached_property
    def ranking(self) -> list[str]:
        """The ranked methods by mean AUBC, the best first; see `means`."""
        return sorted(self.means, key=lambda label: -self.metric.sign * self.means[label])

    @property
    def best_first(self) -> list[str]:
        """All methods, those that are not ranked last."""
        return [*self.ranking, *(label for label in self.methods if label not in self.ranking)]

    @property
    def supervised(self) -> tuple[float, float]:
        """Mean and standard deviation over replicates of the supervised reference; NaN without one."""
        if self.reference_curve is None:
            return float("nan"), float("nan")
        return mean_and_sd(self.reference_curve.values[:, -1])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ... of the masks."""
        return self.some_run.reader.config.classes

    @property
    def runs(self) -> list[Run]:
        """All runs of the group, including its own reference."""
        own = [] if self.borrowed else self.reference
        return [run for runs in self.methods.values() for run in runs] + own

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.some_run.dataset

    @property
    def some_run(self) -> Run:
        """Any run, for the settings that all of them have in common."""
        return self.runs[0]


def groups_of(collection: Collection, metric: Metric) -> list[Group]:
    """The groups of a collection that contain a method, in the order in which they appear."""
    by_group: dict[str, list[Run]] = {}
    for run in collection.runs:
        by_group.setdefault(run.group, []).append(run)
    made = []
    for name, runs in by_group.items():
        reference = [run for run in runs if run.strategy == REFERENCE]
        labels = sorted({run.label for run in runs if run.strategy != REFERENCE}, key=_order(collection.order, runs))
        methods = {label: [run for run in runs if run.label == label] for label in labels}
        own = Group(name, metric, methods, reference)
        made.append(own if reference or not labels else _borrowing(own, collection.runs))
    return [group for group in made if group.methods]


def only_comparable(collection: Collection) -> Collection:
    """The collection without runs that differ from their group in version or protocol, and without duplicates."""
    rejected: list[tuple[Run, Problem]] = []
    seen: dict[tuple[str, str, Replicate], Run] = {}
    for run in collection.runs:
        beside = [other for other in collection.runs if other.group == run.group]
        why = _other_version(run, beside) or _other_protocol(run, beside) or _duplicate(run, seen)
        if why:
            state, reason = why
            problem = Problem(state, run.group, run.label, run.seed, f"{run.title}, is left out: {reason}")
            rejected.append((run, problem))
        else:
            seen[run.group, run.label, run.replicate] = run
    return collection.without(rejected)


def _other_version(run: Run, beside: Sequence[Run]) -> tuple[str, str] | None:
    version, most = _version(run), _most(map(_version, beside))
    if version == most:
        return None
    return "other version", f"it was written by albench {version}, and most of the others by {most}"


def _other_protocol(run: Run, beside: Sequence[Run]) -> tuple[str, str] | None:
    most = _most(other.protocol for other in beside)
    if run.protocol == most:
        return None
    model = next(other for other in beside if other.protocol == most)
    return "other protocol", f"{differences(run.reader.config, model.reader.config)[0]} as in most of the others"


def _duplicate(run: Run, seen: dict[tuple[str, str, Replicate], Run]) -> tuple[str, str] | None:
    first = seen.get((run.group, run.label, run.replicate))
    if first is None:
        return None
    same = "method and seed" if run.reader.config.protocol.splits == 1 else "method, seed and split"
    return "duplicate", f"'{first.reader.folder}' has the same {same} and is used"


def _version(run: Run) -> str:
    return run.reader.stored_config.albench


def _most(values: Iterable[str]) -> str:
    """The most frequent value, the first of equals."""
    return Counter(values).most_common(1)[0][0]


def _order(listed: Sequence[str], runs: Sequence[Run]) -> Callable[[str], tuple[int, float, str]]:
    """Labels in the order of the suite; without a suite in that of the STAR paper, with others before STAR."""
    published = [method.strategy for method in published_methods()]
    strategies = {run.label: run.strategy for run in runs}

    def key(label: str) -> tuple[int, float, str]:
        if label in listed:
            return 0, listed.index(label), label
        strategy = strategies[label]
        return 1, published.index(strategy) if strategy in published else len(published) - 1.5, label

    return key


def _borrowing(group: Group, runs: Sequence[Run]) -> Group:
    """The group with the reference of another one that differs only in how labels are queried, if one exists."""
    own = protocol_digest(group.some_run.reader.config, queries=False)
    for run in runs:
        if run.strategy == REFERENCE and protocol_digest(run.reader.config, queries=False) == own:
            found = [other for other in runs if other.strategy == REFERENCE and other.group == run.group]
            return Group(group.name, group.metric, group.methods, found, run.group)
    return group
