"""The numbers of docs/findings.md, computed from published results and from a record beside this file.

    python docs/studies/findings.py

draws docs/findings.png and writes every part of the page between `<!-- NAME -->` and `<!-- end -->` anew: all its
numbers, and the sentences that depend on them. After other results are published, run it and read the page, whose other
sentences have no numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median_high
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from albench.reports import Results, load
from albench.reports.arms import RULES
from albench.reports.attribution import step_ratio
from albench.reports.best_baseline import BLIND, OverBest, over_best
from albench.reports.costs import steps, steps_per_round
from albench.reports.curve import Curve
from albench.reports.efficiency import area, common_range
from albench.reports.figures.style import BASELINE, HIGHLIGHT, new_figure, styled, subplots
from albench.reports.power import planned
from albench.reports.replicates import Replicate
from albench.reports.significance import LEVEL, Paired, holm, paired

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
FAIR, MENU, OWN, ABLATIONS = (f"{name}-hippocampus" for name in ("fair", "menu", "own-compute", "ablations"))
SUITES = {FAIR: "fair-hippocampus", OWN: "own-compute"}
STOPPING, FIRST = (Path(__file__).with_name(f"{name}.csv") for name in ("when-training-ends", f"{FAIR}-2026-11-27"))
DEFAULT_STOP = ("val_dice", "5 epochs and 100 steps", "300")  # rule, patience, floor
DIFFERENCE = 0.01

Key = TypeVar("Key")
Areas = dict[str, dict[Replicate, float]]
Gains = dict[Replicate, float]


def main() -> None:
    """Write the page and its figure."""
    PAGE.write_text(rendered(PAGE.read_text()))
    with styled():
        draw().savefig(PAGE.with_suffix(".png"), dpi=200, metadata={"Software": None, "Source": drawn_from()})


def rendered(page: str) -> str:
    """The page with the parts that follow from the records."""
    for name, part in PARTS.items():
        block = f"<!-- {name} -->\n\n{part()}\n\n<!-- end -->"
        page, times = re.subn(rf"<!-- {name} -->.*?<!-- end -->", lambda _, block=block: block, page, flags=re.DOTALL)
        assert times == 1, f"the page must have '<!-- {name} -->' once, it has it {times} times"
    return page


@cache
def published(name: str) -> Results:
    """The results of a bundle."""
    return load(name)


def areas(name: str = FAIR) -> Areas:
    """AUBC of every method and seed."""
    (group,) = published(name).groups
    return {label: dict(own) for label, own in group.areas.items()}


def contrast(weights: Mapping[str, int], found: Areas | None = None) -> Gains:
    """The weighted sum of methods, seed by seed."""
    found = areas() if found is None else found
    common = sorted(set.intersection(*(set(found[name]) for name in weights)))
    return {key: sum(weight * found[name][key] for name, weight in weights.items()) for key in common}


def over(label: str, rival: str, found: Areas | None = None) -> Gains:
    """The gain of a method over another one, seed by seed."""
    return contrast({label: 1, rival: -1}, found)


@cache
def suite(name: str) -> dict[str, Any]:
    """The file of a suite."""
    return dict(yaml.safe_load((ROOT / "benchmarks" / "suites" / f"{SUITES[name]}.yaml").read_text()))


@cache
def strategies(name: str = FAIR) -> dict[str, tuple[str, dict[str, object]]]:
    """{label: (strategy, its options)} of a suite."""
    found = {}
    for entry in suite(name)["strategies"]:
        entry = {"strategy": entry} if isinstance(entry, str) else entry
        found[entry.get("label", entry["strategy"])] = entry["strategy"], entry.get("settings", {}).get("strategy", {})
    return found


def arm(strategy: str, options: Mapping[str, object], name: str = FAIR) -> str | None:
    """The label of a strategy with some options; None if the suite does not have it."""
    return next((label for label, found in strategies(name).items() if found == (strategy, dict(options))), None)


def methods(name: str = FAIR) -> list[str]:
    """The methods of a suite that are neither arms nor baselines without images."""
    return [label for label in areas(name) if not is_arm(label, name) and strategies(name)[label][0] not in BLIND]


def is_arm(label: str, name: str = FAIR) -> bool:
    """Whether a method only tells the query of another one from its training."""
    strategy, options = strategies(name)[label]
    rules = RULES.get(strategy)
    return rules is not None and (options in (dict(rules.random_query), dict(rules.supervised)))


def attributed(name: str = FAIR) -> dict[str, dict[str, dict[str, int]]]:
    """{method: {part: weights of its contrast}} of all methods whose arms are all in a suite."""
    found = {}
    for label in methods(name):
        strategy, options = strategies(name)[label]
        rules = RULES.get(strategy)
        if rules is None:
            continue
        trained = arm(strategy, {**options, **rules.random_query}, name)
        supervised = {**options, **rules.supervised}
        asked = arm(rules.same_query, {}, name) if rules.same_query else arm(strategy, supervised, name)
        if trained is None or asked is None or (rules.same_query and options):
            continue
        found[label] = {
            "query": {label: 1, trained: -1},
            "query, supervised": {asked: 1, "random": -1},
            "training": {trained: 1, "random": -1},
            "both": {label: 1, "random": -1},
            "interaction": {label: 1, trained: -1, asked: -1, "random": 1},
        }
    return found


def over_random(name: str = FAIR) -> dict[str, Paired]:
    """The difference of every method to `random`, tested."""
    found = areas(name)
    return {label: paired(over(label, "random", found)) for label in found if label != "random"}


def summary() -> str:
    """What the sections say, with their main numbers; sentences that would be wrong for other numbers are asserted."""
    tests, own = over_random(), over_random(OWN)
    corrected, alone = after_holm(tests), after_holm(own)
    best = min(found.p for found in gains_over_best().values())
    parts = [min(after_holm(parts_tested(name)).values()) for name in (FAIR, OWN)]
    assert min(best, *corrected.values(), *alone.values(), *parts) >= LEVEL, (
        "the summary says that nothing is significant"
    )
    (alike,), (by_itself,) = (published(name).groups for name in (MENU, OWN))
    equal = steps_per_round(alike.methods["random"])
    ratio = step_ratio(by_itself, {"star": 1, "random": -1})
    assert max(own, key=lambda label: own[label].difference) == "star", "the summary says that its mean is the highest"
    found = training_lengths()
    usual, empty = empty_pseudo_labels()
    first, again = executions()
    _, _, correlation = chance(*(gains_of(areas_of) for areas_of in (first, again)))
    needed = sorted(plan["needed"] for plan in plans().values())
    points = (
        f"**No strategy is shown to beat a random query.** None of {len(tests)} methods with {tests['star'].units} "
        f"seeds and equally many steps differs significantly from `random` after Holm's correction (smallest p "
        f"{p_value(min(corrected.values()))}), and none beats the best baseline that looks at no image (smallest p "
        f"{p_value(best)}, not corrected).",
        f"**STAR is not shown to save labels.** Its difference to `random` is {said(tests['star'])} with equally many "
        f"steps. With its own, {ratio:.1f} times those of `random`, it is {said(own['star'])} over "
        f"{own['star'].units} seeds, the highest of all, and not significant among {len(own)} comparisons "
        f"(p {p_value(alone['star'])} after Holm's correction); a random query with the same training has "
        f"{said(own['star, random query'])}, and its query with supervised training "
        f"{said(own['star query, supervised'])}.",
        f"**Longer training changes as much as the choice of a method.** With {found.steps['random']:.0f} instead of "
        f"{equal:.0f} steps per round, `random` gains {said(found.raised)}; with equally many steps, all methods are "
        f"within {found.spread:.4f}.",
        f"**Pseudo-labels are nearly all empty:** {empty:,.0f} of {usual:,}.",
        f"**A gain is hardly repeated.** The same seeds, run again, give gains over `random` that correlate by "
        f"{correlation:.2f} with the first ones.",
        f"**Few seeds do not suffice.** Half of the comparisons need {needed[len(needed) // 2]} seeds or more to find "
        f"a difference of {DIFFERENCE}, without any correction.",
    )
    return "\n".join(item(point) for point in points)


def setting() -> str:
    """What was run."""
    protocol, curves = suite(FAIR)["settings"]["protocol"], published(FAIR).curves().query("label != 'full'")
    training, validation, test = protocol["split"]
    share = curves.groupby("round").share.mean()
    (group,) = published(FAIR).groups
    split = group.methods["random"][0].reader.split
    chosen_by = split.val_slices
    counted = (curves.labeled.max() + chosen_by) / (sum(split.slices.values()) + chosen_by)
    return paragraph(
        f"{len(areas())} methods, {len(areas()['random'])} seeds, one split: {training} training, {validation} "
        f"validation and {test} test cases. {curves.labeled.min():.0f} slices ({share.min():.1%}) are labeled before "
        f"round 0; {protocol['rounds']} queries of {protocol['budget']} slices end at {share.max():.1%}. The "
        f"{chosen_by} labeled slices of the validation cases choose the weights and are not counted; with them the end "
        f"would be {counted:.1%}. Every method takes {protocol['steps']} optimizer steps per round. Record: "
        f"{results(FAIR)}."
    )


def against_random() -> str:
    """All differences to `random`."""
    tests = over_random()
    labels, corrected = list(tests), after_holm(tests)
    best = max(labels, key=lambda label: tests[label].difference)
    better = [label for label, test in tests.items() if test.low > 0]
    worse = [label for label, test in tests.items() if test.high < 0]
    significant = [label for label in labels if corrected[label] < LEVEL]
    least, p = p_value(min(corrected.values())), p_value(tests[best].t)
    return paragraph(
        f"{verdict(significant, 'differs', 'significantly from `random`')} after Holm's correction over {len(labels)} "
        f"paired t tests; the smallest p is {least}. The highest mean is that of {best}, {said(tests[best])} against "
        f"`random` (p = {p} without the correction). Without it, the 95 % intervals of {count(better)} are above 0 and "
        f"those of {count(worse)} below. With {tests[best].units} seeds the exact sign-flip test cannot be below "
        f"{tests[best].least:.4g}. Record: {results(FAIR)}; the table is on "
        "[another page](fair-comparison.md#what-was-found-on-the-hippocampus)."
    )


def blind() -> list[str]:
    """The baselines that look at no image."""
    return [label for label in areas() if strategies()[label][0] in BLIND]


def gains_over_best() -> dict[str, OverBest]:
    """The gain of every method over the best of them."""
    return {label: over_best({name: over(label, name) for name in blind()}) for label in methods()}


def best_baseline() -> str:
    """Gains over the best of the baselines that look at no image, and over two of them."""
    baselines, found = blind(), gains_over_best()
    corrected = dict(zip(found, holm([own.p for own in found.values()]), strict=True))
    rows = [
        (label, own.rival, f"{own.gain:+.4f}", interval(own.low, own.high), p_value(own.p), p_value(corrected[label]))
        for label, own in sorted(found.items(), key=lambda pair: -pair[1].gain)
    ]
    significant = [label for label in found if corrected[label] < LEVEL]
    behind = [label for label, own in found.items() if own.high < 0]
    sentences = [
        f"{verdict(significant, 'beats', 'the best of ' + listed(baselines))} significantly, also without a correction "
        f"for the {len(found)} methods: the smallest p is {min(own.p for own in found.values()):.2f}."
        if not significant and min(own.p for own in found.values()) >= LEVEL
        else f"{verdict(significant, 'beats', 'the best of ' + listed(baselines))} after Holm's correction.",
        f"Of the {len(found)} intervals, {count(behind)} {'lies' if len(behind) == 1 else 'lie'} below 0"
        + (f": {listed(behind)}." if behind else ", so no method is shown to be worse than the best, either."),
    ]
    sentences.append(
        "The p-values test superiority only, and the intervals are not corrected for the number of methods."
    )
    sentences += [_best_over(name) for name in ("foreground-random", "strided")]
    head = ("method", "closest", "gain in AUBC", "95 % over seeds", "p", "p, Holm")
    return f"{paragraph(' '.join([*sentences, f'Record: {results(FAIR)}.']))}\n\n{table(head, rows)}"


def _best_over(baseline: str) -> str:
    tests = {label: paired(over(label, baseline)) for label in methods()}
    corrected = after_holm(tests)
    best = max(tests, key=lambda label: tests[label].difference)
    better = [label for label, test in tests.items() if corrected[label] < LEVEL and test.difference > 0]
    return (
        f"Over `{baseline}` alone the largest lead is that of {best}, {said(tests[best])}; "
        f"{verdict(better, 'leads', 'significantly', lower=True)} after Holm's correction (p of the largest lead: "
        f"{corrected[best]:.2f})."
    )


def parts_tested(name: str = FAIR) -> dict[tuple[str, str], Paired]:
    """{(method, part): its contrast, tested}."""
    return {
        (label, part): paired(contrast(weights, areas(name)))
        for label, parts in attributed(name).items()
        for part, weights in parts.items()
    }


def attribution(name: str = FAIR) -> str:
    """What query and training contribute, with their interaction."""
    tests, (group,) = parts_tested(name), published(name).groups
    corrected = after_holm(tests)
    ratio = {
        (label, part): step_ratio(group, weights)
        for label, parts in attributed(name).items()
        for part, weights in parts.items()
    }
    rows = [
        (
            *key,
            f"{ratio[key]:.2f}",
            f"{test.difference:+.4f}",
            interval(test.low, test.high),
            p_value(test.t),
            p_value(corrected[key]),
        )
        for key, test in tests.items()
    ]
    excluding = [key for key, test in tests.items() if test.low > 0 or test.high < 0]
    significant = [key for key in tests if corrected[key] < LEVEL]
    text = (
        f"Of the {len(tests)} parts, {count(significant)} is significant after Holm's correction (smallest p = "
        f"{p_value(min(corrected.values()))})"
    )
    text += "".join(f"; {part} of {label}" for label, part in significant)
    named = "; ".join(f"{part} of {label}, {said(tests[label, part])}" for label, part in excluding)
    text += f". Without it, {count(excluding)} of the 95 % intervals exclude{'s' * (len(excluding) == 1)} 0"
    text += f"{': ' * bool(named)}{named}. "
    ahead = [label for label in attributed(name) if tests[label, "both"].low > 0]
    text += f"For {listed(ahead) or 'no method'}, the interval of both is above 0. Record: {results(name)}."
    head = ("method", "part", "times the steps", "difference in AUBC", "95 % over seeds", "p", "p, Holm")
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def all_pseudo_labels() -> pd.DataFrame:
    """The pseudo-labels of every run and round with equally many steps."""
    return pd.concat([published(name).pseudo_labels().assign(suite=name) for name in (FAIR, MENU)])


def balanced_methods() -> set[str]:
    """The methods that pseudo-label as many slices with predicted foreground as without."""
    return {label for label in strategies() if strategies()[label][1].get("balanced")}


def empty_pseudo_labels() -> tuple[int, float]:
    """How many pseudo-labels the other methods have, and how many of them are empty."""
    found = all_pseudo_labels()
    usual = found[~found.label.isin(balanced_methods())]
    return int(usual["count"].sum()), float((usual["count"] * usual.empty_share).sum())


def pseudo_labels() -> str:
    """How many pseudo-labels are empty, and wrong."""
    found, selects, (total, empty) = all_pseudo_labels(), balanced_methods(), empty_pseudo_labels()
    text = (
        f"Of {total:,} pseudo-labels of methods that take the most certain slices, {empty:,.0f} are empty. An empty "
        "mask has a slice Dice of 1 on an empty slice and of nearly 0 on any other: where all are empty, the slice "
        "Dice is the share of right pseudo-labels, and the others teach that a slice with hippocampus has none. "
    )
    balanced = {label: label.partition(",")[0] for label in selects}
    tests = {label: paired(over(label, without)) for label, without in sorted(balanced.items())}
    named = " and ".join(listed([label]) for label in tests)
    changes = " and ".join(f"{said(test)} against {balanced[label]}" for label, test in tests.items())
    significant = count([test for test in tests.values() if test.t < LEVEL])
    text += (
        f"As many pseudo-labels with predicted foreground as without, in {named}, change AUBC by {changes}; of the "
        f"two, {significant} is significant even without a correction. "
    )
    without = arm("star", {"pseudo_count": 0}, OWN)
    assert without is not None
    gain = paired(over("star", without, areas(OWN)))
    text += (
        f"With own compute, star leads the same method without pseudo-labels by {said(gain)} over {gain.units} seeds. "
        f"Records: {results(FAIR)}, {results(MENU)}, {results(OWN)}."
    )
    rows = [
        _quality(str(suite), str(label), own) for (suite, label), own in found.groupby(["suite", "label"], sort=False)
    ]
    head = ("results", "method", "pseudo-labels", "empty", "slice Dice", "95 % over seeds", "by round")
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def _quality(suite: str, label: str, own: pd.DataFrame) -> tuple[str, ...]:
    """A row of the table of pseudo-labels, whose interval ends at 1."""
    mean = {key: float(np.average(runs.dice, weights=runs["count"])) for key, runs in own.groupby("seed")}
    test = paired({Replicate(int(seed), 0): value for seed, value in mean.items()})
    share = np.average(own.empty_share, weights=own["count"])
    rounds = ", ".join(f"{value:.3f}" for value in own.groupby("round").dice.mean())
    ends = f"{test.low:.3f} to {min(test.high, 1):.3f}"
    return suite, label, f"{own['count'].sum():,}", f"{share:.1%}", f"{test.difference:.3f}", ends, rounds


@cache
def executions() -> tuple[Areas, Areas]:
    """AUBC of the same suite with the same seeds, run twice."""
    found = pd.read_csv(FIRST)
    curves = {}
    for label, runs in found.groupby("label", sort=False):
        values = runs.pivot_table("value", ["seed", "split"], "round")
        axis = runs.groupby("round")[["labeled", "share"]].mean()
        replicates = tuple(Replicate(int(seed), int(split)) for seed, split in values.index)
        curves[str(label)] = Curve(replicates, axis.labeled.to_numpy(), axis.share.to_numpy(), values.to_numpy())
    first, again = areas_in_common(curves, curves_of(FAIR))
    return {label: {key: first[label][key] for key in again[label]} for label in again}, again


def repetition() -> str:
    """How much of the one execution the other repeats."""
    first, again = executions()
    best = sorted(again, key=lambda label: -mean(again[label]))[: len(again) // 2]
    text = (
        f"Spearman's correlation of the mean AUBC of {len(again)} methods is {order(list(again), first, again):.2f}, "
        f"of the {len(best)} that were best the second time {order(best, first, again):.2f}. AUBC "
        f"{_deviations(*map(values_of, (first, again)))}. The gain over `random` "
        f"{_deviations(*map(gains_of, (first, again)))}. Records: {results(FAIR)}, {record(FIRST)}."
    )
    rows = []
    for label, parts in attributed().items():
        for part in ("query", "training", "both"):
            old, new = (contrast(parts[part], found) for found in (first, again))
            both = paired({key: (old[key] + new[key]) / 2 for key in new})
            rows.append((label, part, *(f"{mean(one):+.4f}" for one in (old, new)), said(both), p_value(both.t)))
    head = ("method", "part", "first time", "second time", "mean of both, 95 % over seeds", "p, not corrected")
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def values_of(found: Areas) -> NDArray[np.float64]:
    """(m, s) AUBC of m methods and s seeds."""
    return np.array([list(own.values()) for own in found.values()])


def gains_of(found: Areas) -> NDArray[np.float64]:
    """(m, s) gains over `random`."""
    return np.array([list(over(label, "random", found).values()) for label in found if label != "random"])


def chance(first: NDArray[np.float64], again: NDArray[np.float64]) -> tuple[float, float, float]:
    """How values (m, s) of m methods and s seeds deviate over seeds and between two executions.

    Returns:
        The standard deviation of a value over the seeds of a method; that between two executions, of a single value
        too, so their difference has the root of 2 times as much; and the correlation of both over seeds.
    """
    centered = [found - found.mean(1, keepdims=True) for found in (first, again)]
    over_seeds = np.sqrt(np.mean([found.var(1, ddof=1) for found in (first, again)]))
    repeated = np.sqrt(np.mean((first - again) ** 2) / 2)
    return float(over_seeds), float(repeated), float(np.corrcoef(*(found.ravel() for found in centered))[0, 1])


def _deviations(first: NDArray[np.float64], again: NDArray[np.float64]) -> str:
    over_seeds, repeated, correlation = chance(first, again)
    return (
        f"has a standard deviation of {over_seeds:.4f} over the seeds of a method, and of {repeated:.4f} between a run "
        f"and its repetition; over seeds, both correlate by {correlation:.2f}"
    )


def curves_of(name: str) -> dict[str, Curve]:
    """The curves of all methods but the reference."""
    (group,) = published(name).groups
    return {label: group.curves[label] for label in group.areas}


def areas_in_common(*found: Mapping[str, Curve]) -> list[Areas]:
    """AUBC of every method and seed of several suites, between the labels that all of their curves have."""
    low, high = common_range([curve for curves in found for curve in curves.values()])
    return [
        {
            label: dict(zip(own.replicates, area(own.share, own.values, low, high).tolist(), strict=True))
            for label, own in curves.items()
        }
        for curves in found
    ]


def order(labels: Sequence[str], *found: Areas) -> float:
    """Spearman's correlation of the mean AUBC of methods in two suites."""
    means = ([mean(own[label]) for label in labels] for own in found)
    return float(spearmanr(*means).statistic)


class Lengths(NamedTuple):
    """AUBC with own compute and with equally many steps, over the labels and seeds that both suites have.

    Attributes:
        labels: of the methods that both have.
        own: AUBC with own compute.
        equal: with equally many steps.
        steps: per round with own compute.
        raised: how much longer training raises that of `random`.
        spread: how far the means of all methods are from each other, with equally many steps.
    """

    labels: list[str]
    own: Areas
    equal: Areas
    steps: dict[str, float]
    raised: Paired
    spread: float


@cache
def training_lengths() -> Lengths:
    """What both suites have in common."""
    own, equal = areas_in_common(curves_of(OWN), curves_of(MENU))
    labels = [label for label in equal if label in own]
    equal = {label: {seed: equal[label][seed] for seed in own[label].keys() & equal[label]} for label in labels}
    own = {label: {seed: own[label][seed] for seed in equal[label]} for label in labels}
    methods = published(OWN).groups[0].methods
    taken = {
        label: steps_per_round([run for run in methods[label] if run.replicate in equal[label]]) for label in labels
    }
    raised = paired({seed: own["random"][seed] - equal["random"][seed] for seed in equal["random"]})
    return Lengths(labels, own, equal, taken, raised, max(map(mean, equal.values())) - min(map(mean, equal.values())))


def longer_training() -> str:
    """The methods that train in their own way, with own compute and with equally many steps."""
    labels, own, matched, per_round, raised, spread = training_lengths()
    (equal,) = published(MENU).groups
    taken = [per_round[label] for label in labels]
    gain = {label: mean(own[label]) - mean(matched[label]) for label in labels}
    least, most = min(gain, key=gain.__getitem__), max(gain, key=gain.__getitem__)
    training = [label for label in labels if strategies(OWN)[label][0] in RULES]
    pairs = {label: (over(label, "random", own), over(label, "random", matched)) for label in training}
    changes = {
        label: paired({seed: alone[seed] - same[seed] for seed in same}) for label, (alone, same) in pairs.items()
    }
    corrected = after_holm(changes)
    significant = [label for label in training if corrected[label] < LEVEL]
    longer = [label for label in labels if per_round[label] > per_round["random"]]
    against = after_holm(over_random(OWN))
    beyond = [label for label in against if against[label] < LEVEL]
    text = (
        f"Over the labels and seeds that both suites have, {len(labels)} methods take {min(taken):.0f} to "
        f"{max(taken):.0f} optimizer steps per round on average, instead of "
        f"{steps_per_round(equal.methods['random']):.0f}. That raises "
        f"the mean AUBC of every method, by {gain[least]:+.4f} ({least}) to {gain[most]:+.4f} ({most}), "
        f"and that of `random` by {said(raised)}; with equally many steps, all methods are within {spread:.4f}. "
        f"`random` itself takes {per_round['random']:.0f} steps, more than {len(labels) - 1 - len(longer)} of the "
        f"others. Spearman's correlation of both orders is {order(labels, own, matched):.2f}; that of two seeds of one "
        f"suite is {_between_seeds(own):.2f} with own and {_between_seeds(matched):.2f} with equal steps. Of the "
        f"gains over `random` of the {len(training)} methods that train in their own way, {count(significant)} changes "
        f"significantly (smallest p after Holm's correction: {p_value(min(corrected.values()))}). Of all "
        f"{len(against)} gains over `random` with own steps and all their seeds, {count(beyond)} is significant "
        f"(smallest p: {p_value(min(against.values()))}). With {changes[training[0]].units} seeds, intervals are wide. "
        f"Records: {results(OWN)}, {results(MENU)}."
    )
    assert gain[least] > 0, "the text says that longer training raises the mean of every method"
    rows = [
        (
            label,
            f"{per_round[label]:.0f}",
            *(said(paired(gains)) for gains in pairs[label]),
            said(changes[label]),
            p_value(corrected[label]),
        )
        for label in training
    ]
    head = (
        "method",
        f"steps (`random`: {per_round['random']:.0f})",
        "gain over `random`, own steps",
        "gain over `random`, equal steps",
        "difference",
        "p, Holm",
    )
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def _between_seeds(found: Areas) -> float:
    """Spearman's correlation of the AUBC of all methods between two seeds, the mean over all pairs of seeds."""
    by_seed = pd.DataFrame({label: {key.seed: value for key, value in own.items()} for label, own in found.items()})
    each = by_seed.T.corr("spearman").to_numpy()
    return float(each[np.triu_indices(len(each), 1)].mean())


def one_change() -> str:
    """Gains over `random` where one thing is changed, and how much they change."""
    groups = {
        group.name: {label: dict(own) for label, own in group.areas.items()} for group in published(ABLATIONS).groups
    }
    reference = groups["reference"]
    labels = [label for label in reference if label != "random"]
    gains = {(name, label): over(label, "random", found) for name, found in groups.items() for label in labels}
    tests = {key: paired(gain) for key, gain in gains.items()}
    against = after_holm(tests)
    changes = {key: paired(_change(gains, key)) for key in gains if key[0] != "reference"}
    changed = after_holm(changes)
    significant = [key for key in changes if changed[key] < LEVEL]
    largest = max(changes, key=lambda key: abs(changes[key].difference))
    beyond = [key for key, p in against.items() if p < LEVEL]
    text = (
        f"Of {len(tests)} gains over `random` in {len(groups)} settings, {count(beyond)} is significant after Holm's "
        f"correction (smallest p = {p_value(min(against.values()))})"
    )
    text += "".join(f"; {label} in {name}, {said(tests[name, label])}" for name, label in beyond)
    text += (
        f". Of {len(changes)} changes of a gain against the reference, {count(significant)} is significant (smallest p "
        f"= {p_value(min(changed.values()))})"
    )
    text += "".join(f"; {label} in {name}" for name, label in significant)
    apart = _change(gains, largest)
    widest = max(apart, key=lambda seed: abs(apart[seed]))
    others = mean({seed: value for seed, value in apart.items() if seed != widest})
    some = tests["reference", labels[0]]
    text += (
        f". The largest is that of {largest[1]} in {largest[0]}, {said(changes[largest])}; without seed {widest.seed} "
        f"it is {others:+.4f}. With {some.units} seeds the power is low, what is significant depends on whether a few "
        f"numbers happen to agree, and the sign-flip test, which does not need normal differences, cannot be below "
        f"{some.least:.2g}. Record: {results(ABLATIONS)}."
    )
    rows = []
    for group in published(ABLATIONS).groups:
        curve, (taken,) = group.curves["random"], {steps(run)[-1] for run in group.methods["random"]}
        labeled = dict.fromkeys(f"{curve.labeled[place]:.0f}" for place in (1, -1))
        gained = (said(tests[group.name, label]) for label in labels)
        rows.append(
            (group.name, f"{taken:,.0f}", " to ".join(labeled), f"{mean(groups[group.name]['random']):.4f}", *gained)
        )
    head = ("setting", "steps", "labels, mean", "AUBC of `random`", *(f"`{label}`" for label in labels))
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def _change(gains: Mapping[tuple[str, str], Gains], key: tuple[str, str]) -> Gains:
    """How much more a method gains in a setting than in the reference, seed by seed."""
    return {seed: gain - gains["reference", key[1]][seed] for seed, gain in gains[key].items()}


def stopping() -> str:
    """Every rule against the default, seed by seed."""
    found = pd.read_csv(STOPPING, keep_default_na=False)
    rows, significant = [], {}
    for dataset, runs in found.groupby("dataset", sort=False):
        dice = {
            rule: {
                Replicate(int(seed), 0): float(value)
                for seed, value in zip(own.seed, own.test_dice_volume, strict=True)
            }
            for rule, own in runs.groupby(["stop", "patience", "min_steps"], sort=False)
        }
        length = runs.groupby(["stop", "patience", "min_steps"]).steps.mean()
        default = dice.pop(DEFAULT_STOP)
        tests = {rule: paired({seed: own[seed] - default[seed] for seed in default}) for rule, own in dice.items()}
        corrected = after_holm(tests)
        worse = [rule for rule, test in tests.items() if corrected[rule] < LEVEL and test.difference < 0]
        better = [rule for rule, test in tests.items() if corrected[rule] < LEVEL and test.difference > 0]
        same = len(dice) - len({tuple(own.items()) for own in dice.values()})
        significant[dataset] = (len(tests), len(worse), len(better), same)
        for rule, test in tests.items():
            name = f"`{rule[0]}`, {rule[1]}" + (f", at least {rule[2]} steps" if rule[2] not in ("", "0") else "")
            difference = f"{test.difference:+.3f}", f"{test.low:+.3f} to {test.high:+.3f}", p_value(corrected[rule])
            rows.append((dataset, name, *difference, f"{min(dice[rule].values()):.3f}", f"{length[rule]:.0f}"))
    parts = [
        f"on {dataset}, {worse} of {rules} other rules are significantly worse and {better} better"
        for dataset, (rules, worse, better, _) in significant.items()
    ]
    text = (
        f"Compared with the default (`{DEFAULT_STOP[0]}`, {DEFAULT_STOP[1]}, at least {DEFAULT_STOP[2]} steps) over "
        f"{found.seed.nunique()} seeds of round 0, {', and '.join(parts)} (paired t test, Holm's correction within a "
        f"dataset). The default was chosen by the same numbers, which favors it."
    )
    for dataset, (_, _, _, same) in significant.items():
        text += f" On {dataset}, {same} of them keep the weights of another rule, and count in the correction." * bool(
            same
        )
    text += f" Record: {record(STOPPING)}."
    head = ("dataset", "rule", "difference in volume Dice", "95 % over seeds", "p, Holm", "worst seed", "steps")
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def plans() -> dict[str, dict[str, float]]:
    """How many seeds a difference of every method to `random` needs."""
    tests = over_random()
    return {label: planned(test.sd, test.units, DIFFERENCE, len(tests)) for label, test in tests.items()}


def seeds_needed() -> str:
    """How many seeds a difference needs, of the least, the median and the most variable comparison."""
    tests, plan_of = over_random(), plans()
    labels = list(tests)
    by_sd = sorted(labels, key=lambda label: tests[label].sd)
    best = max(labels, key=lambda label: tests[label].difference)
    lead = planned(tests[best].sd, tests[best].units, tests[best].difference, len(labels))
    needed, after = ([plan_of[label][name] for label in labels] for name in ("needed", "needed_holm"))
    text = (
        f"For a true difference of {DIFFERENCE} to `random`, half of the {len(labels)} comparisons need at most "
        f"{median_high(needed)} seeds to find it with a probability of 0.8 at the level {LEVEL}, and all at most "
        f"{max(needed):,}; at {LEVEL} / {len(labels)}, which the smallest p-value has to pass after Holm's correction, "
        f"{median_high(after)} and {max(after):,}. The lead of {best}, {tests[best].difference:+.4f}, would take "
        f"{lead['needed']:,} and {lead['needed_holm']:,}. The "
        f"{tests[labels[0]].units} seeds that were run find {plan_of[by_sd[len(by_sd) // 2]]['detected']:.4f} in the "
        "median comparison, and "
        f"{plan_of[by_sd[len(by_sd) // 2]]['detected_holm']:.4f} at the stricter level. In parentheses: at the ends of "
        f"the 95 % interval of the deviation. Record: {results(FAIR)}."
    )
    rows = []
    for which, label in (("least", by_sd[0]), ("median", by_sd[len(by_sd) // 2]), ("most", by_sd[-1])):
        plan = plan_of[label]
        sd = f"{tests[label].sd:.4f} ({plan['sd_low']:.4f} to {plan['sd_high']:.4f})"
        counts = (
            f"{plan[name]:,} ({plan[f'{name}_low']:,} to {plan[f'{name}_high']:,})"
            for name in ("needed", "needed_holm")
        )
        rows.append((which, label, sd, *counts, f"{plan['detected']:.4f}"))
    head = ("deviation", "method", "sd of the difference", f"seeds for {DIFFERENCE}", "after Holm", "detected now")
    return f"{paragraph(text)}\n\n{table(head, rows)}"


def draw() -> Figure:
    """Gains over the best baseline, and the parts of differences to `random`, with their intervals."""
    best = {label: (own.gain, own.low, own.high) for label, own in gains_over_best().items()}
    best = dict(sorted(best.items(), key=lambda pair: -pair[1][0]))
    parts = {f"{label}: {part}": (own.difference, own.low, own.high) for (label, part), own in parts_tested().items()}
    figure = new_figure(3.6)
    titles = "gain in AUBC over the best\nbaseline that looks at no image", "difference in AUBC"
    for ax, rows, title in zip(subplots(figure, 1, 2)[0], (best, parts), titles, strict=True):
        for place, (middle, low, high) in enumerate(rows.values()):
            ax.plot([low, high], [place, place], color=HIGHLIGHT, linewidth=1.2)
            ax.plot(middle, place, "o", color=HIGHLIGHT, markersize=3.5)
        ax.axvline(0, color=BASELINE, linewidth=0.8)
        ax.set_yticks(range(len(rows)), list(rows), fontsize=6.5)
        ax.invert_yaxis()
        ax.set_xlabel(title)
        ax.grid(axis="y", visible=False)
    return figure


def drawn_from() -> str:
    """A hash of the tables that the figure shows, which it keeps."""
    return hashlib.sha256(f"{best_baseline()}{attribution()}".encode()).hexdigest()


PARTS: dict[str, Callable[[], str]] = {
    "summary": summary,
    "setting": setting,
    "against-random": against_random,
    "best-baseline": best_baseline,
    "attribution": attribution,
    "longer-training": longer_training,
    "attribution-own": lambda: attribution(OWN),
    "one-change": one_change,
    "pseudo-labels": pseudo_labels,
    "repetition": repetition,
    "stopping": stopping,
    "seeds": seeds_needed,
}


def after_holm(tests: Mapping[Key, Paired]) -> dict[Key, float]:
    """The p-values of t tests after Holm's correction for their number."""
    return dict(zip(tests, holm([test.t for test in tests.values()]), strict=True))


def mean(values: Gains) -> float:
    """Over seeds."""
    return float(np.mean(list(values.values())))


def said(test: Paired) -> str:
    """A difference with its interval."""
    return f"{test.difference:+.4f} ({interval(test.low, test.high)})"


def interval(low: float, high: float) -> str:
    """An interval in words."""
    return f"{low:+.4f} to {high:+.4f}"


def p_value(p: float) -> str:
    """A p-value as it is printed."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def count(found: Sequence[object]) -> str:
    """How many there are, in words if none."""
    return f"{len(found)}" if found else "none"


def verdict(labels: Sequence[str], verb: str, what: str, *, lower: bool = False) -> str:
    """Which methods do something; that none does, if so."""
    if labels:
        return f"{listed(labels)}: {verb} {what}"
    return f"{'no' if lower else 'No'} method {verb} {what}"


def listed(labels: Iterable[str]) -> str:
    """Names with commas; in quotes where they contain one."""
    return ", ".join(f'"{label}"' if "," in label else f"`{label}`" for label in labels)


def results(name: str) -> str:
    """The name of published results, with a link that says how to read them."""
    return f"[{name}](reading-the-report.md#published-results)"


def record(path: Path) -> str:
    """A link to a record."""
    return f"[{path.name}](studies/{path.name})"


def paragraph(text: str, width: int = 120) -> str:
    """Text in lines; a span of code and a link are not broken."""
    lines, line = [], ""
    for word in re.findall(r"(?:\[[^\]]*\]\([^)]*\)|`[^`]*`|\S)+", text):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def item(text: str) -> str:
    """A point of a list."""
    return "- " + paragraph(text, 118).replace("\n", "\n  ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
