"""What a caption must say: on what the numbers rest, and which runs they do without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from albench.reports.collection import Collection
from albench.reports.costs import initial_slices
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Problem, Run


def measured(results: Results, group: Group) -> list[str]:
    """Metric, cases, seeds and reference."""
    metric, run = results.metric, group.some_run
    cases = len(run.split["test" if metric.part == "test" else "val"])
    seeds = {label: sorted(own.seed for own in runs) for label, runs in group.methods.items()}
    sentences = [f"{_capital(metric.axis)} on {_count(cases, f'{metric.part} case')}, {_over(seeds)}."]
    if group.incomplete:
        sentences.append(f"Not ranked, for want of seeds that most have: {', '.join(group.incomplete)}.")
    if not metric.higher:
        sentences.append("Lower is better.")
    return [*sentences, _reference(results, group)]


def provenance(results: Results, group: Group) -> list[str]:
    """Where the numbers come from, and what was mixed."""
    collection = results.collection
    planned = f"Suite {collection.name} ({collection.digest})" if collection.digest else f"Runs in {collection.name}"
    versions = ", ".join(versions_of(group.runs))
    return [f"{planned}; {versions}; computed on {', '.join(devices_of(group.runs))}.", *warnings(group)]


def warnings(group: Group) -> list[str]:
    """What was not held equal although it could have been."""
    devices, versions = devices_of(group.runs), versions_of(group.runs)
    found = []
    if len(devices) > 1:
        found.append(f"Caution: the runs were computed on different hardware ({', '.join(devices)}).")
    if len(versions) > 2:
        found.append(f"Caution: the runs were computed with different versions ({', '.join(versions)}).")
    initial = {label: {tuple(initial_slices(run)) for run in runs} for label, runs in group.methods.items()}
    if len(set.union(*initial.values())) > 1:
        found.append("Caution: not all methods began with the same labels.")
    return found


def left_out(collection: Collection, group: str | None = None) -> list[str]:
    """One sentence per kind of problem, which names every run; of all groups if none is given."""
    problems = [problem for problem in collection.problems if group is None or problem.group == group]
    states = dict.fromkeys(problem.state for problem in problems)
    return [f"{_capital(state)}: {_named(p for p in problems if p.state == state)}." for state in states]


def devices_of(runs: Iterable[Run]) -> list[str]:
    """Names of the hardware, of every round."""
    return sorted({str(record["cost"]["device"]) for run in runs for record in run.records if "cost" in record})


def versions_of(runs: Iterable[Run]) -> list[str]:
    """Versions of albench and torch, of every round."""
    costs = [record["cost"] for run in runs for record in run.records if "cost" in record]
    return sorted({f"{name} {cost[name]}" for cost in costs for name in ("albench", "torch")})


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`3 seeds (0, 1, 2)`."""
    return f"{_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"


def _over(seeds: dict[str, list[int]]) -> str:
    """What was averaged, and whether there is a deviation."""
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
        return "There is no run of the supervised reference, so S% is not known."
    if math.isnan(value):
        return "The supervised reference has no value of this metric, so S% is not known."
    spread = f" ± {results.metric.text(sd)}" if len(group.reference) > 1 else ""
    whose = f", from {group.borrowed}" if group.borrowed else ""
    seeds = seeds_in_words(sorted(run.seed for run in group.reference))
    return f"Supervised reference: {results.metric.text(value)}{spread}, all slices labeled, {seeds}{whose}."


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
