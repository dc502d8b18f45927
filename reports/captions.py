"""Sentences of captions: what was measured on which runs, where they come from, and which runs are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from albench.reports.collection import Collection
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Problem, Run


def measured(results: Results, group: Group) -> list[str]:
    """Metric, cases, seeds and reference."""
    metric, split = results.metric, group.some_run.reader.split
    cases = len(split.test if metric.part == "test" else split.val)
    seeds = {label: sorted(own.seed for own in runs) for label, runs in group.methods.items()}
    sentences = [f"{_capital(metric.axis)} on {_count(cases, f'{metric.part} case')}, {_over(seeds)}."]
    sentences += not_ranked(group)
    if not metric.higher:
        sentences.append("Lower is better.")
    return [*sentences, _reference(results, group)]


def not_ranked(group: Group) -> list[str]:
    """The incomplete methods, if the group has any."""
    if not group.incomplete:
        return []
    return [f"Not ranked (seeds that most methods have are missing): {', '.join(group.incomplete)}."]


def provenance(results: Results, group: Group) -> list[str]:
    """Suite or folder, versions and hardware, and warnings."""
    collection = results.collection
    source = f"Suite {collection.name} ({collection.digest})" if collection.digest else f"Runs in {collection.name}"
    versions = ", ".join(versions_of(group.runs))
    return [f"{source}; {versions}; computed on {', '.join(devices_of(group.runs))}.", *warnings(group)]


def warnings(group: Group) -> list[str]:
    """Differences between runs that may affect their results although their protocols are equal."""
    devices, versions = devices_of(group.runs), versions_of(group.runs)
    found = []
    if len(devices) > 1:
        found.append(f"Caution: the runs were computed on different hardware ({', '.join(devices)}).")
    if len(versions) > 2:
        found.append(f"Caution: the runs were computed with different versions ({', '.join(versions)}).")
    if len({run.reader.split.initial for runs in group.methods.values() for run in runs}) > 1:
        found.append("Caution: not all methods began with the same labels.")
    return found


def left_out(collection: Collection, group: str | None = None) -> list[str]:
    """One sentence per kind of problem, which names every run.

    Args:
        collection: of runs.
        group: whose runs are named; None for all.
    """
    problems = [problem for problem in collection.problems if group is None or problem.group == group]
    states = dict.fromkeys(problem.state for problem in problems)
    return [f"{_capital(state)}: {_named(p for p in problems if p.state == state)}." for state in states]


def devices_of(runs: Iterable[Run]) -> list[str]:
    """Names of the hardware of every round."""
    return sorted({record.cost.device for run in runs for record in run.reader.records})


def versions_of(runs: Iterable[Run]) -> list[str]:
    """Versions of albench and torch of every round."""
    costs = [record.cost for run in runs for record in run.reader.records]
    return sorted({text for cost in costs for text in (f"albench {cost.albench}", f"torch {cost.torch}")})


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`3 seeds (0, 1, 2)`."""
    return f"{_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"


def _over(seeds: dict[str, list[int]]) -> str:
    """The seeds, and whether a deviation can be given."""
    first = next(iter(seeds.values()))
    counts = [len(own) for own in seeds.values()]
    if all(own == first for own in seeds.values()):
        if len(first) == 1:
            return f"one seed ({first[0]}): no deviation and no test can be given"
        return f"mean ± sample standard deviation over {seeds_in_words(first)}"
    fewer = [label for label, own in seeds.items() if len(own) < max(counts)]
    return (
        f"mean ± sample standard deviation over {min(counts)} to {_count(max(counts), 'seed')}; not all methods have "
        f"the same seeds ({', '.join(f'{label}: {len(seeds[label])}' for label in fewer or seeds)})"
    )


def _reference(results: Results, group: Group) -> str:
    value, sd = group.supervised
    if not group.reference:
        return "The supervised reference is missing, so S% is unknown."
    if math.isnan(value):
        return "The supervised reference has no value of this metric, so S% is unknown."
    spread = f" ± {results.metric.text(sd)}" if len(group.reference) > 1 else ""
    source = f", from {group.borrowed}" if group.borrowed else ""
    seeds = seeds_in_words(sorted(run.seed for run in group.reference))
    return f"Supervised reference: {results.metric.text(value)}{spread}, all slices labeled, {seeds}{source}."


def _named(problems: Iterable[Problem]) -> str:
    by_label: dict[str, list[int]] = {}
    for problem in problems:
        by_label.setdefault(problem.label, []).append(problem.seed)
    return "; ".join(
        f"{label}, seed{'s' if len(own) > 1 else ''} {', '.join(map(str, own))}" for label, own in by_label.items()
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
