"""The summary of a group in sentences: the leading method, the evidence, the baseline, attribution, the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import pandas as pd

from albench.errors import counted
from albench.reports.attribution import is_unequal, not_attributable
from albench.reports.captions import floors, not_ranked, reference_at_floor, uses_labels
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.unfinished_trainings import unfinished_reference

_LEVEL = 0.05
_MOST = 3  # methods that reach the reference, by name
_DIVIDED = 2  # methods whose parts are all said


@dataclass(frozen=True)
class Summary:
    """What a reader should know first.

    Attributes:
        lead: which method leads, and by how much.
        evidence: how well the data support this.
        not_ranked: which methods cannot lead, and why.
        baseline: which methods differ from the baseline.
        attribution: which differences are not those of two queries, and what query and training contribute to others.
        reference: which methods reach the supervised reference.
        floor: what predicting nothing and predicting everything score.
    """

    lead: str
    evidence: str
    not_ranked: str
    baseline: str
    attribution: str
    reference: str
    floor: str

    @property
    def sentences(self) -> list[str]:
        """All parts that are not empty."""
        return [part for part in astuple(self) if part]


def summarize(results: Results, group: Group) -> Summary:
    """The summary of a group."""
    numbers = results.efficiency()
    numbers = numbers[numbers["group"] == group.name].set_index("label")
    lead, evidence = _lead(results, group, numbers)
    return Summary(
        lead=" ".join([lead, *uses_labels(group, group.ranking[:1])]),
        evidence=evidence,
        not_ranked=" ".join(not_ranked(group)),
        baseline=_baseline(results, group),
        attribution=_attribution(results, group),
        reference=" ".join(
            [_reference(results, group, numbers), *unfinished_reference(group), *reference_at_floor(group)]
        ),
        floor=floors(group),
    )


def _lead(results: Results, group: Group, numbers: pd.DataFrame) -> tuple[str, str]:
    metric = results.metric_in(group)
    ranked = group.ranking
    if not ranked and group.at_floor:
        return f"No method on {group.name} leads: none is better than predicting nothing or everything.", ""
    if not ranked:
        return f"No method on {group.name} has a value of {metric.title} in every round.", ""
    first = ranked[0]
    area = f"an AUBC of {metric.text(numbers.loc[first, 'aubc'])} {metric.unit}".rstrip() + f" in {metric.title}"
    if len(ranked) == 1 and group.at_floor:
        return f"Only {first} on {group.name} is better than predicting nothing or everything, with {area}.", ""
    if len(ranked) == 1:
        return f"{first} is the only method on {group.name}, with {area}.", "Nothing can be compared with one method."
    second = ranked[1]
    row = _pair(results, group, first, second)
    if row is None or row["units"] == 0:
        behind = f"{second} has {metric.text(numbers.loc[second, 'aubc'])}"
        evidence = "Not testable: the two share no seed, so the difference may be chance."
        return f"{first} has the best mean, {area}; {behind}.", evidence
    unit = f" {metric.unit}" if metric.unit else ""
    interval = _interval(row)
    if row["gain"] <= 0:
        shared = f"one {row['unit']}" if row["units"] == 1 else f"{int(row['units'])} {row['unit']}s"
        gain = f"its gain is {row['gain']:+.4f}{unit}{interval}"
        common = f"over the {shared} that it shares with {second} it is not ahead: {gain}"
        return f"{first} has the best mean, {area}, but {common}.", _evidence(results, group, row)
    ahead = f"{area}, ahead of {second} by {row['gain']:.4f}{unit}{interval}"
    lead = f"{first} leads with" if _is_clear(results, row) else f"No clear leader: {first} has the best mean,"
    return f"{lead} {ahead}.", _evidence(results, group, row)


def _is_clear(results: Results, row: pd.Series) -> bool:
    """Whether a gain can be called a lead: the two are not printed alike, and its interval excludes 0.

    Without an interval, the gain must be at least the margin, within which a value is close to the reference too.
    """
    no_interval = math.isnan(row["low"])
    enough = row["gain"] >= results.margin if no_interval else _excludes_0(row["low"], row["high"])
    return bool(enough and row["gain"] >= 10**-results.metric.decimals)


def _evidence(results: Results, group: Group, row: pd.Series) -> str:
    n, unit = int(row["units"]), row["unit"]
    if n == 1:
        return f"Not testable: with one {unit} the difference may be chance."
    excludes_0, over_cases = _excludes_0(row["low"], row["high"]), not math.isnan(row["cases_low"])
    doubt = "the interval excludes 0, but it does not account for the selection of the two best methods"
    if math.isnan(row["low"]):
        doubt = f"all {unit}s differ by the same amount, so no interval over them exists"
    elif not excludes_0:
        doubt = "the interval includes 0, so the order of the two may be chance"
    elif over_cases and not _excludes_0(row["cases_low"], row["cases_high"]):
        doubt = f"the interval over {unit}s and cases includes 0, so the order may be another one on other patients"
    p = f"sign-flip test p = {row['flip']:.3g}, and with {n} {unit}s it cannot be below {row['least']:.3g}"
    if math.isnan(row["flip"]):
        p = f"{n} {unit}s are too many for the exact sign-flip test"
    ranks = results.ranks()
    ranks = ranks[(ranks["group"] == group.name) & (ranks["units"] > 1)]
    leaders = list(ranks[ranks["may_be_first"]]["label"])
    stable = f"; when any one {unit} is left out, the best mean rank goes to {_or(leaders)}" if leaders else ""
    return f"Evidence: {doubt}; {p}{stable}."


def _interval(row: pd.Series) -> str:
    """The intervals of a gain in parentheses, as far as they exist."""
    unit = row["unit"]
    ends = [(f"{unit}s", row["low"], row["high"]), (f"{unit}s and cases", row["cases_low"], row["cases_high"])]
    known = [f"{low:+.4f} to {high:+.4f} over {source}" for source, low, high in ends if not math.isnan(low)]
    return f" (95 % interval {', '.join(known)})" if known else ""


def _excludes_0(low: float, high: float) -> bool:
    return low > 0 or high < 0


def _baseline(results: Results, group: Group) -> str:
    found = results.differences()
    if found.empty:
        return ""
    found = found[(found["group"] == group.name) & (found["kind"] == "baseline")]
    if not found.empty and found["units"].max() == 1:
        one = f"With one {found['unit'].max()} no difference can be tested"
        return f"{one}, so there are no tables of differences and ranks."
    untested, unit = list(found[found["t_holm"].isna()]["label"]), found["unit"].max()
    found = found[found["t_holm"].notna()]
    if found.empty:
        return ""
    without = f" Not tested without two common {unit}s with different gains: {'; '.join(untested)}." * bool(untested)
    significant = found[found["t_holm"] < _LEVEL]
    better = list(significant[significant["gain"] > 0]["label"])
    worse = list(significant[significant["gain"] < 0]["label"])
    test = "paired t test after Holm's correction, p < 0.05"
    if not better and not worse:
        return f"No method differs significantly from {results.baseline} ({test}).{without}"
    parts = [f"better: {'; '.join(better)}"] * bool(better) + [f"worse: {'; '.join(worse)}"] * bool(worse)
    others = len(found) - len(significant)
    verb = "does" if others == 1 else "do"
    rest = f"; the other {others} {verb} not differ significantly" if others else ""
    return f"Compared with {results.baseline}, {', and '.join(parts)} ({test}){rest}.{without}"


def _attribution(results: Results, group: Group) -> str:
    """The methods whose arms are in the group; of those without all arms those whose training is not their rival's."""
    found = results.attribution()
    found = found[found["group"] == group.name]
    divided = {str(label): rows for label, rows in found.groupby("label", sort=False)}
    pairs = [(label, results.baseline) for label in group.areas if results.baseline in group.areas]
    whole = [label for label, rows in divided.items() if {"query", "training"} <= set(rows["part"])]
    pairs = [(label, rival) for label, rival in pairs if label not in (rival, *whole)]
    arms = {(label, arm) for label, rows in divided.items() for arm in (*rows["method"], *rows["rival"])}
    if len(group.ranking) > 1:
        leaders = group.ranking[0], group.ranking[1]
        pairs += [leaders] * (not {leaders, leaders[::-1]} & {*pairs, *arms})
    sentences = not_attributable(group, pairs)
    if len(divided) > _DIVIDED:
        return " ".join([*sentences, _divided_together(found)])
    return " ".join([*sentences, *(_divided(label, rows) for label, rows in divided.items())])


def _divided_together(rows: pd.DataFrame) -> str:
    """Of the parts of many methods those that are not compatible with 0; the table has all of them."""
    where = "the table of attribution has all parts"
    known = rows[rows["low"].notna()]
    if known.empty:
        return f"Attribution divides the differences of {rows['label'].nunique()} methods: {where}."
    found = known[[_excludes_0(row["low"], row["high"]) for _, row in known.iterrows()]]
    named = "; ".join(f"{row['part']} of {row['label']} {_part(row)}" for _, row in found.iterrows())
    which = f"{len(found) or 'none'} of {counted(len(known), 'part')}{': ' * bool(named)}{named}"
    return f"Attribution: 95 % intervals, not corrected for their number, exclude 0 in {which}; {where}."


def _divided(label: str, rows: pd.DataFrame) -> str:
    """What query and training contribute to the difference between a method and random."""
    parts = {row["part"]: _part(row) for _, row in rows.iterrows()}
    if "query" in parts:
        parts.pop("query, supervised", None)
    intervals = "" if rows["low"].isna().all() else ", with 95 % intervals"
    return f"Attribution for {label}{intervals}: {'; '.join(f'{part} {gain}' for part, gain in parts.items())}."


def _part(row: pd.Series) -> str:
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:+.4f}, {row['high']:+.4f}]"
    ratio = row["steps_ratio"]
    return f"{row['gain']:+.4f}{interval}" + (f" with {ratio:.2f} times the steps" if is_unequal(ratio) else "")


def _reference(results: Results, group: Group, numbers: pd.DataFrame) -> str:
    value, _ = group.supervised
    if math.isnan(value) and group.reference:
        return "The supervised reference has no value of this metric, so it is unknown how many labels suffice."
    if math.isnan(value):
        return "The supervised reference is missing, so it is unknown how many labels suffice."
    reference = f"the supervised reference ({results.metric.text(value)} {results.metric.unit}".rstrip() + ")"
    if group.reference_at_floor:
        return f"How many labels suffice is unknown: no method can be compared with {reference}."
    numbers = numbers.loc[group.complete]
    reached = numbers[numbers["reach_monotone"].map(math.isfinite)].sort_values("reach_monotone", kind="stable")
    if reached.empty:
        last = numbers["final_share"].max()
        return f"No method reaches {reference} with up to {last:.1%} of the slices labeled."
    parts = [_reaching(str(label), row) for label, row in reached.head(_MOST).iterrows()]
    others = len(reached) - len(parts)
    more = f", and by {others} other{'s' * (others > 1)}" if others else ""
    return f"On the monotone mean curve {reference} is reached by {'; '.join(parts)}{more}."


def _reaching(label: str, row: pd.Series) -> str:
    """A method with its S% and the interval of that, if it has one."""
    low, high = row["reach_monotone_low"], row["reach_monotone_high"]
    end = f"{high:.1%}" if math.isfinite(high) else "never"
    interval = "" if math.isnan(low) else f" (95 % interval {low:.1%} to {end})"
    return f"{label} at {row['reach_monotone']:.1%}{interval}"


def _pair(results: Results, group: Group, first: str, second: str) -> pd.Series | None:
    found = results.differences()
    if found.empty:
        return None
    mask = (found["group"] == group.name) & (found["label"] == first) & (found["rival"] == second)
    rows = found[mask & (found["kind"] == "best rival")]
    return None if rows.empty else rows.iloc[0]


def _or(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} or {labels[-1]}"
