"""What a difference between two methods is due to: their queries, or the way they train.

The steps of a method are the optimizer steps that it takes until its last evaluation. A difference is that of two
queries if both methods train alike and their steps differ by at most 1 %. Otherwise only further methods of the group,
the arms of `albench.reports.arms`, can tell what it is due to:

    query      the method, or its query with supervised training, minus a random query with the same training
    training   a random query with the same training, minus a random query with supervised training
    both       the method minus a random query with supervised training

Pseudo-labels are a part of the training: the method minus the same query and training without them.

The interaction is what query and training gain only together: the query with the training of the method minus the query
with supervised training, so the method minus what its two arms add up to. Without it, both would be their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Literal

import numpy as np

from albench.reports.arms import arms_of, queries_at_random, train_alike
from albench.reports.costs import steps
from albench.reports.differences import Row, Weights, difference_row
from albench.reports.group import Group
from albench.reports.replicates import Replicate

Part = Literal["query", "query, supervised", "training", "both", "pseudo-labels", "interaction"]
"""A part of a difference; the query is compared with the training of the method and with supervised training."""

COLUMNS = (
    *("group", "label", "part", "method", "rival", "units", "unit"),
    *("gain", "low", "high", "cases_low", "cases_high", "steps_ratio"),
)
"""Of the table of the rows of `attribution`, which also have the tests of `albench.reports.differences`."""

_TOLERANCE = 0.01 + 1e-9  # 1 %, and what rounding adds


def step_ratio(group: Group, weights: Weights, among: Set[Replicate] | None = None) -> float:
    """Mean steps of the first method of a contrast divided by what the others add up to; NaN without common replicates.

    The others count with the opposite sign of their weight: for a difference this is the ratio of two methods.
    """
    own = {name: {run.replicate: steps(run)[-1] for run in group.methods[name]} for name in weights}
    common = set.intersection(*map(set, own.values()))
    common = common if among is None else common & among
    if not common:
        return float("nan")
    taken = {name: float(np.mean([own[name][key] for key in common])) for name in weights}
    first = next(iter(weights))
    return taken[first] / -sum(weight * taken[name] for name, weight in weights.items() if name != first)


def is_unequal(ratio: float) -> bool:
    """Whether a ratio of steps differs from 1 by more than 1 %."""
    return abs(ratio - 1) > _TOLERANCE


def not_attributable(group: Group, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for each rival, which names by reason the methods whose difference to it is not that of two queries.

    Two random queries are not compared.

    Args:
        group: of the methods.
        pairs: (method, rival).
    """
    by_rival: dict[str, list[str]] = {}
    for label, rival in pairs:
        if not all(queries_at_random(group.methods[name]) for name in (label, rival)):
            by_rival.setdefault(rival, []).append(label)
    found = ((rival, _reasons(group, labels, rival)) for rival, labels in by_rival.items())
    return [
        f"Compared with {rival}, differences are not attributable to the query of methods that {' or '.join(reasons)}."
        for rival, reasons in found
        if reasons
    ]


def _reasons(group: Group, labels: Iterable[str], rival: str) -> list[str]:
    """How the trainings of methods differ from that of the rival, and of which methods."""
    by_reason: dict[str, list[str]] = {}
    for label in labels:
        ratio, alike = step_ratio(group, {label: 1, rival: -1}), train_alike(group.methods[label], group.methods[rival])
        if is_unequal(ratio):
            reason = "take another number of steps" if alike else "train in another way and for another number of steps"
            by_reason.setdefault(reason, []).append(f"{label}: {ratio:.2f} times the steps")
        elif not alike:
            by_reason.setdefault("train in another way", []).append(label)
    return [f"{reason} ({'; '.join(found)})" for reason, found in by_reason.items()]


def attribution(group: Group) -> Iterator[Row]:
    """A row for every method with arms and every part of its difference to random that the arms give.

    All parts are over the replicates that the method and all its arms have, so that query and training add up to both.
    Without such a replicate there are no rows.
    """
    for label in group.areas:
        found = contrasts(group, label)
        common = _in_common(group, found.values())
        for part, weights in found.items() if common else ():
            method, *rest = weights
            yield {
                **{"group": group.name, "label": label, "part": part, "method": method, "rival": _added(weights, rest)},
                **difference_row(group, weights, common),
                "steps_ratio": step_ratio(group, weights, common),
            }


def _added(weights: Weights, names: Sequence[str]) -> str:
    """What the first method of a contrast is compared with: one method, or a sum of several."""
    first, *others = names
    return first + "".join(f" {'-' if weights[name] > 0 else '+'} {name}" for name in others)


def _in_common(group: Group, found: Iterable[Weights]) -> set[Replicate]:
    """The replicates that all methods of some contrasts have."""
    held = [set(group.areas[label]) for label in {label for weights in found for label in weights}]
    return set.intersection(*held) if held else set()


def contrasts(group: Group, label: str) -> dict[Part, Weights]:
    """The methods that a part compares; without a method that queries at random, or arms, there are none."""
    arms = arms_of(label, group.methods)
    if arms is None:
        return {}
    pairs: dict[Part, tuple[str | None, str | None]] = {
        "query": (label, arms.random_training),
        "query, supervised": (arms.query_supervised, arms.random_supervised),
        "training": (arms.random_training, arms.random_supervised),
        "both": (label, arms.random_supervised),
        "pseudo-labels": (label, arms.without_pseudo_labels),
    }
    found: dict[Part, Weights] = {
        part: {one: 1, other: -1} for part, (one, other) in pairs.items() if one is not None and other is not None
    }
    if {"query", "query, supervised", "training"} <= found.keys():
        supervised = {name: -weight for name, weight in found["query, supervised"].items()}
        found["interaction"] = {**found["query"], **supervised}
    return found if found.keys() != {"both"} else {}  # which alone separates nothing
