"""Runs that may be compared: same data, protocol, training and network, by method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from albench.reports.collection import Collection
from albench.reports.curve import Curve, curve_of
from albench.reports.efficiency import area, common_range, summary
from albench.reports.metric import Metric
from albench.reports.protocol import differences, protocol_digest
from albench.reports.published import methods as published_methods
from albench.reports.runs import REFERENCE, Problem, Run


@dataclass(frozen=True)
class Group:
    """Runs of one group.

    Attributes:
        name: of the group.
        metric: what is compared.
        methods: {label: its runs by seed}, in the order of tables.
        reference: runs of the supervised reference; empty if there are none.
        borrowed: the group whose reference this is; None for its own.
    """

    name: str
    metric: Metric
    methods: dict[str, list[Run]]
    reference: list[Run]
    borrowed: str | None = None

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The curve of every method."""
        return {label: curve_of(runs, self.metric) for label, runs in self.methods.items()}

    @cached_property
    def range(self) -> tuple[float, float] | None:
        """Labeled shares that all curves cover."""
        return common_range(list(self.curves.values())) if self.curves else None

    @cached_property
    def areas(self) -> dict[str, dict[int, float]]:
        """Area under the curve (AUBC) of every method and seed, over the common range; empty without one."""
        if self.range is None:
            return {}
        low, high = self.range
        return {
            label: dict(zip(curve.seeds, area(curve.share, curve.values, low, high).tolist(), strict=True))
            for label, curve in self.curves.items()
        }

    @cached_property
    def complete(self) -> list[str]:
        """Methods that have every seed that most methods have; all of them if there are not two.

        The mean of another is over fewer of these seeds, and its luck with them wins nothing.
        """
        held = Counter(seed for curve in self.curves.values() for seed in curve.seeds)
        usual = {seed for seed, times in held.items() if 2 * times > len(self.curves)}
        complete = [label for label, curve in self.curves.items() if usual <= set(curve.seeds)]
        return complete if len(complete) > 1 else list(self.curves)

    @property
    def incomplete(self) -> list[str]:
        """Methods that are not."""
        return [label for label in self.methods if label not in self.complete]

    @cached_property
    def ranking(self) -> list[str]:
        """The complete methods by mean AUBC, the best first."""
        means = {label: float(np.mean(list(self.areas[label].values()))) for label in self.complete if self.areas}
        return sorted(
            (label for label in means if not np.isnan(means[label])), key=lambda x: -self.metric.sign * means[x]
        )

    @property
    def supervised(self) -> tuple[float, float]:
        """Mean and standard deviation over seeds of the supervised reference; NaN without one."""
        if not self.reference:
            return float("nan"), float("nan")
        return summary(curve_of(self.reference, self.metric).values[:, -1])

    @property
    def runs(self) -> list[Run]:
        """All runs, the reference's own among them."""
        own = [] if self.borrowed else self.reference
        return [run for runs in self.methods.values() for run in runs] + own

    @property
    def some_run(self) -> Run:
        """Any run: settings that are held equal can be read off it."""
        return self.runs[0]


def groups_of(collection: Collection, metric: Metric) -> list[Group]:
    """The groups of a collection that hold a method, in the order in which they appear."""
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
    """Without the runs whose settings, version or seed keep them from being compared, one sentence for each."""
    refused: list[tuple[Run, Problem]] = []
    seen: dict[tuple[str, str, int], Run] = {}
    for run in collection.runs:
        beside = [other for other in collection.runs if other.group == run.group]
        why = _other_version(run, beside) or _other_protocol(run, beside) or _duplicate(run, seen)
        if why:
            refused.append(
                (run, Problem(why[0], run.group, run.label, run.seed, f"{run.title}, is left out: {why[1]}"))
            )
        else:
            seen[run.group, run.label, run.seed] = run
    return collection.without(refused)


def _other_version(run: Run, beside: Sequence[Run]) -> tuple[str, str] | None:
    most = _most(other.config["albench"] for other in beside)
    if run.config["albench"] == most:
        return None
    return "other version", f"albench {run.config['albench']} wrote it, and {most} most of the others"


def _other_protocol(run: Run, beside: Sequence[Run]) -> tuple[str, str] | None:
    most = _most(protocol_digest(other.config) for other in beside)
    if protocol_digest(run.config) == most:
        return None
    model = next(other for other in beside if protocol_digest(other.config) == most)
    return "other protocol", f"{differences(run.config, model.config)[0]} as in most of the others"


def _duplicate(run: Run, seen: dict[tuple[str, str, int], Run]) -> tuple[str, str] | None:
    first = seen.get((run.group, run.label, run.seed))
    return None if first is None else ("duplicate", f"'{first.folder}' is the same method and seed, and is taken")


def _most(values: Iterable[str]) -> str:
    """The most frequent value, the first of equals."""
    return Counter(values).most_common(1)[0][0]


def _order(planned: Sequence[str], runs: Sequence[Run]) -> Callable[[str], tuple[int, float, str]]:
    """Labels in the order of the suite; without one, in that of the STAR paper, and others by name before its own."""
    published = [method.strategy for method in published_methods()]
    strategies = {run.label: run.strategy for run in runs}

    def key(label: str) -> tuple[int, float, str]:
        if label in planned:
            return 0, planned.index(label), label
        strategy = strategies[label]
        return 1, published.index(strategy) if strategy in published else len(published) - 1.5, label

    return key


def _borrowing(group: Group, runs: Sequence[Run]) -> Group:
    """The group with another group's reference: how labels are bought does not matter when all are there at once."""
    own = protocol_digest(group.some_run.config, buying=False)
    for run in runs:
        if run.strategy == REFERENCE and protocol_digest(run.config, buying=False) == own:
            found = [other for other in runs if other.strategy == REFERENCE and other.group == run.group]
            return Group(group.name, group.metric, group.methods, found, run.group)
    return group
