"""The summary of a group in sentences: who leads, by how much, how sure that is, and who reaches the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from albench.reports.group import Group
from albench.reports.results import Results

_LEVEL = 0.05


@dataclass(frozen=True)
class Summary:
    """What a reader should know first.

    Attributes:
        lead: who leads, and by how much.
        certainty: how sure that is.
        baseline: who differs from the baseline.
        reference: who reaches the supervised reference.
    """

    lead: str
    certainty: str
    baseline: str
    reference: str

    @property
    def sentences(self) -> list[str]:
        """All that is not empty."""
        return [part for part in (self.lead, self.certainty, self.baseline, self.reference) if part]


def summarize(results: Results, group: Group) -> Summary:
    """The summary of a group."""
    numbers = results.efficiency()
    numbers = numbers[numbers["group"] == group.name].set_index("label")
    lead, certainty = _lead(results, group, numbers)
    if group.incomplete:
        lead += f" Not ranked, for want of seeds that most have: {', '.join(group.incomplete)}."
    return Summary(lead, certainty, _baseline(results, group), _reference(results, group, numbers))


def _lead(results: Results, group: Group, numbers: pd.DataFrame) -> tuple[str, str]:
    metric = results.metric
    ranked = group.ranking
    if not ranked:
        return f"No method on {group.name} has a value of {metric.title} in every round.", ""
    first = ranked[0]
    area = f"an AUBC of {metric.text(numbers.loc[first, 'aubc'])} {metric.unit}".rstrip()
    if len(ranked) == 1:
        return f"{first} is the only method on {group.name}, with {area}.", "Alone it is compared with nothing."
    second = ranked[1]
    row = _pair(results, group, first, second)
    if row is None or row["seeds"] == 0:
        behind = f"{second} has {metric.text(numbers.loc[second, 'aubc'])}"
        return f"{first} has the best mean, {area}; {behind}.", "They share no seed, so this may be chance."
    unit = f" {metric.unit}" if metric.unit else ""
    interval = "" if math.isnan(row["low"]) else f" (95 % interval {row['low']:+.4f} to {row['high']:+.4f})"
    if row["gain"] <= 0:
        shared = "one seed" if row["seeds"] == 1 else f"{int(row['seeds'])} seeds"
        gain = f"its gain is {row['gain']:+.4f}{unit}{interval}"
        common = f"over the {shared} that it shares with {second} it is not ahead: {gain}"
        return f"{first} has the best mean, {area}, but {common}.", _certainty(results, group, row)
    lead = f"{first} leads with {area}, ahead of {second} by {row['gain']:.4f}{unit}{interval}."
    return lead, _certainty(results, group, row)


def _certainty(results: Results, group: Group, row: pd.Series) -> str:
    n = int(row["seeds"])
    if n == 1:
        return "How sure: not at all. With one seed this may be chance, and nothing can be tested."
    told = row["low"] > 0 or row["high"] < 0
    chosen = "the interval excludes 0, though it does not allow for having picked the best two"
    doubt = chosen if told else "the interval includes 0, so the order of the two may be chance"
    if math.isnan(row["low"]):
        doubt = "all seeds differ by the same amount, so no interval exists"
    p = f"sign-flip test p = {row['flip']:.3g}, and with {n} seeds it cannot be below {row['least']:.3g}"
    if math.isnan(row["flip"]):
        p = f"{n} seeds are too many for the exact sign-flip test"
    ranks = results.ranks()
    ranks = ranks[(ranks["group"] == group.name) & (ranks["seeds"] > 1)]
    leaders = list(ranks[ranks["may_be_first"]]["label"])
    stable = f"; leaving out any one seed, the best mean rank goes to {_or(leaders)}" if leaders else ""
    return f"How sure: {doubt}; {p}{stable}."


def _baseline(results: Results, group: Group) -> str:
    found = results.differences()
    if found.empty:
        return ""
    found = found[(found["group"] == group.name) & (found["kind"] == "baseline")]
    untested = list(found[found["t_holm"].isna()]["label"])
    found = found[found["t_holm"].notna()]
    if found.empty:
        return ""
    without = f" Not tested, for want of two common seeds that differ: {', '.join(untested)}." if untested else ""
    sure = found[found["t_holm"] < _LEVEL]
    better, worse = list(sure[sure["gain"] > 0]["label"]), list(sure[sure["gain"] < 0]["label"])
    test = "paired t test after Holm's correction, p < 0.05"
    if not better and not worse:
        return f"No method can be told apart from {results.baseline} ({test}).{without}"
    parts = [f"better: {', '.join(better)}"] * bool(better) + [f"worse: {', '.join(worse)}"] * bool(worse)
    others = len(found) - len(sure)
    rest = f"; the other {others} cannot be told apart from it" if others else ""
    return f"Compared with {results.baseline}, {'; '.join(parts)} ({test}){rest}.{without}"


def _reference(results: Results, group: Group, numbers: pd.DataFrame) -> str:
    value, _ = group.supervised
    if math.isnan(value) and group.reference:
        return "The supervised reference has no value of this metric, so it is not known how many labels would do."
    if math.isnan(value):
        return "There is no supervised reference, so it is not known how many labels would do."
    what = f"the supervised reference ({results.metric.text(value)} {results.metric.unit}".rstrip() + ")"
    numbers = numbers.loc[group.complete]
    reached = numbers[numbers["reach"].map(math.isfinite)].sort_values("reach", kind="stable")
    if reached.empty:
        last = numbers["final_share"].max()
        return f"No method reaches {what} with up to {last:.1%} of the slices labeled."
    parts = []
    for label, row in reached.iterrows():
        kept = "" if row["reach_sustained"] == row["reach"] else ", but not to the end"
        parts.append(f"{label} at {row['reach']:.1%}{kept}")
    return f"On average over seeds {what} is reached by {', '.join(parts)}."


def _pair(results: Results, group: Group, first: str, second: str) -> pd.Series | None:
    found = results.differences()
    if found.empty:
        return None
    mask = (found["group"] == group.name) & (found["label"] == first) & (found["rival"] == second)
    rows = found[mask & (found["kind"] == "best rival")]
    return None if rows.empty else rows.iloc[0]


def _or(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} or {labels[-1]}"
