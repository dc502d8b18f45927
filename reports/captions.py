"""Sentences of captions: what was measured on which runs, where they come from, and which runs are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from albench.reports.attribution import is_unequal
from albench.reports.audits import audited
from albench.reports.collection import Collection
from albench.reports.costs import steps
from albench.reports.failed_runs import FAILED_SHARE, failed, failure_metric
from albench.reports.group import Group
from albench.reports.replicates import Replicate, in_words, splits_of
from albench.reports.results import Results
from albench.reports.runs import REFERENCE, Problem, Run
from albench.reports.unfinished_trainings import unfinished_reference, unfinished_trainings
from albench.reports.untrained_networks import untrained_networks

_NAMED = 5  # more runs that are left out are counted in captions, and named in the summary


def measured(results: Results, group: Group) -> list[str]:
    """The same as `compared`, and what stands after ± in a table."""
    sentences = compared(results, group)
    return [*sentences[:1], *deviations(group), *sentences[1:]]


def deviations(group: Group) -> list[str]:
    """What stands after ±, if any method has several runs."""
    return ["±: one sample standard deviation."] * any(len(runs) > 1 for runs in group.methods.values())


def compared(results: Results, group: Group) -> list[str]:
    """Metric, cases, seeds, classes, what shares are of, validation labels and reference."""
    metric, split = results.metric_in(group), group.some_run.reader.split
    cases = len(split.test if metric.part == "test" else split.val)
    replicates = {label: sorted(own.replicate for own in runs) for label, runs in group.methods.items()}
    sentences = [f"{_capital(metric.axis)} on {_count(cases, f'{metric.part} case')}, {_over(replicates)}."]
    sentences += not_ranked(group)
    if not metric.higher:
        sentences.append("Lower is better.")
    return [
        *sentences,
        *classes_together(results, group),
        *undrawn(group),
        *on_working_grid(group),
        *annotation_errors(group),
        validation_labels(group),
        *_reference(results, group),
        floors(group),
    ]


def floors(group: Group) -> str:
    """What predicting nothing and predicting everything score, as far as the records tell."""
    metric, floor = group.metric, group.floor
    if floor.exact:
        return (
            f"Predicting nothing has {metric.text(floor.nothing)} and predicting everything "
            f"{metric.text(floor.everything)}, so this metric alone tells neither from a segmentation."
        )
    if not metric.higher:
        return "Predicting nothing has the largest possible distance, the diagonal of the volume."
    if math.isnan(floor.nothing):
        return "What predicting nothing or everything scores is not in the records."
    nothing = f"Predicting nothing scores {metric.text(floor.nothing)}"
    if math.isnan(floor.everything):
        return f"{nothing}; what predicting everything scores is not in the records."
    return f"{nothing}, predicting everything at most {metric.text(floor.everything)}."


def floors_of(groups: Sequence[Group]) -> list[str]:
    """The same of every group by name; once if it is the same in all of them."""
    said = {group.name: floors(group) for group in groups}
    if len(set(said.values())) == 1:
        return list(said.values())[:1]
    return [f"{name}: {sentence}" for name, sentence in said.items()]


def reference_at_floor(group: Group) -> list[str]:
    """That reaching the supervised reference says nothing, or that it is reached too early, if so."""
    if group.reference_at_floor:
        return [
            "Caution: the supervised reference is no better than predicting nothing or everything, so S% is unknown "
            "and no maximum can be compared with it."
        ]
    seeds = [f"{seed}" for label, seed in failed(group) if label == REFERENCE]
    if not seeds:
        return []
    which = f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"
    return [f"Caution: the supervised reference failed in {which}, so it is reached too early and S% is too low."]


def classes_together(results: Results, group: Group) -> list[str]:
    """How the metric takes several classes together, unless it is that of one class."""
    metric, names = results.metric, ", ".join(group.classes)
    if len(group.classes) == 1 or metric.class_name is not None:
        return []
    if not metric.over_classes:
        return [f"The classes {names} are one foreground."]
    each = "case" if metric.over_cases else "slice"
    return [
        f"The classes {names} are averaged: in each {each} over those that occur in its truth, or over all of them if "
        "none does."
    ]


def undrawn(group: Group) -> list[str]:
    """What shares are of, if some training slices cannot be labeled."""
    counts = sorted({run.reader.split.undrawn for run in group.runs})
    if not counts[-1]:
        return []
    return [
        f"Shares are of the slices that can be labeled: {_range(counts)} training slices without any known label are "
        "never queried and do not count."
    ]


def on_working_grid(group: Group) -> list[str]:
    """That scaled slices were not scored on the grids of their files, if so."""
    config = group.some_run.reader.config
    if not config.scaled or config.protocol.grid == "native":
        return []
    return ["Masks are compared on the working grid, to which slices were scaled, not on the grids of the files."]


def annotation_errors(group: Group) -> list[str]:
    """Which errors the labels have that methods learned from, if so."""
    protocol = group.some_run.reader.config.protocol
    kinds = {
        "neighbor": "taken from an adjacent slice",
        "missed": f"drawn without objects of less than {protocol.missed_diameter:g} mm in diameter",
        "contours": f"drawn with contours {protocol.error_distance:g} mm too far outside or inside",
    }
    found = [kinds[kind] for kind in kinds if kind in protocol.annotation_errors]
    if not found:
        return []
    each = " each" if len(found) > 1 else ""
    return [
        f"Labels of the training cases have errors: {protocol.error_rate:.0%} of the masks{each} are "
        f"{', '.join(found)}. Validation and test masks are the true ones."
    ]


def validation_labels(group: Group) -> str:
    """How many validation slices are labeled, and whether they count."""
    counts = sorted({run.reader.split.val_slices for run in group.runs})
    number = _range(counts)
    charging = group.some_run.reader.config.protocol.validation
    if charging == "none":
        return "There are no validation cases."
    if charging == "charged":
        return f"The labels of {number} validation slices are counted in every share and cost."
    return f"{number} validation slices are labeled and not counted."


def not_ranked(group: Group) -> list[str]:
    """The methods that are in the tables but not ranked, by reason, if the group has any."""
    left = [label for label in group.methods if label not in group.ranked]
    reasons = {
        "methods no better than predicting nothing or everything": group.at_floor,
        "arms": group.arms,
        "baselines that use labels of unlabeled slices": group.use_labels,
        "methods without a seed that most methods have": group.incomplete,
    }
    parts = []
    for reason, labels in reasons.items():
        own = [label for label in left if label in labels]
        parts += [f"{reason} ({'; '.join(own)})"] * bool(own)
        left = [label for label in left if label not in own]
    return [f"Not ranked: {', '.join(parts)}."] if parts else []


def provenance(results: Results, group: Group) -> list[str]:
    """Suite or folder, versions and hardware, audits, and warnings."""
    return [computed(results.collection, group.runs), *audited(group), *warnings(group)]


def computed(collection: Collection, runs: Sequence[Run]) -> str:
    """Suite, bundle or folder, versions and hardware of some runs."""
    only = f", only {', '.join(collection.only)}" if collection.only else ""
    return f"{collection.source}{only}; {', '.join(versions_of(runs))}; computed on {', '.join(devices_of(runs))}."


def warnings(group: Group) -> list[str]:
    """Differences between runs that may affect their results although their protocols are equal."""
    devices, versions = devices_of(group.runs), versions_of(group.runs)
    found = []
    if len(devices) > 1:
        found.append(f"Caution: the runs were computed on different hardware ({', '.join(devices)}).")
    if len(versions) > 2:
        found.append(f"Caution: the runs were computed with different versions ({', '.join(versions)}).")
    begun = {(run.replicate, run.reader.split.initial) for runs in group.methods.values() for run in runs}
    if len(begun) > len({replicate for replicate, _ in begun}):
        found.append("Caution: not all methods began with the same labels.")
    found += [*untrained_networks(group), *unfinished_trainings(group)]
    return [*found, *_failed(group), *_tuned(group), *uses_labels(group, group.ranked)]


def uses_labels(group: Group, labels: Sequence[str]) -> list[str]:
    """Which of some methods have the oracle draw by the truth of unlabeled slices, if any."""
    found = [label for label in labels if label in group.use_labels]
    sentence = "Uses labels of unlabeled slices, so it is a reference and not a method"
    return [f"{sentence}: {'; '.join(found)}."] if found else []


def _failed(group: Group) -> list[str]:
    """The runs that a rule fixed beforehand calls failed."""
    found = failed(group)
    if not found:
        return []
    rule = f"{failure_metric(group).title} in round 0 below {FAILED_SHARE:g} times the median of the method"
    named = "; ".join(_of_all_methods(group, found))
    return [f"Caution: failed by a rule fixed beforehand ({rule}), and included: {named}."]


def _of_all_methods(group: Group, found: Sequence[tuple[str, int]]) -> list[str]:
    """The runs, those of a seed in a few words if most methods have them: they share the training of round 0."""
    said, left = [], list(found)
    for seed in dict.fromkeys(seed for _, seed in found):
        have = [label for label, runs in group.methods.items() if any(run.seed == seed for run in runs)]
        without = [label for label in have if (label, seed) not in found]
        if len(have) > 2 * len(without) and len(have) > 2:
            said.append(f"seed {seed} of all methods" + f" but {'; '.join(without)}" * bool(without))
            left = [one for one in left if one not in [(label, seed) for label in have]]
    return [*said, *([_named(left)] if left else [])]


def _tuned(group: Group) -> list[str]:
    """Which methods are tuned, by which search, and which are not."""
    searches = {label: runs[0].reader.config.tuning for label, runs in group.methods.items()}
    found = [
        f"{label} is tuned ({', '.join(f'{name}={value}' for name, value in search.options.items())}): "
        f"{_count(search.trials, 'trial')} with {_count(search.seeds, 'seed')} each, {search.steps:,} optimizer steps, "
        f"chosen by {search.metric}."
        for label, search in searches.items()
        if search is not None
    ]
    untuned = [label for label, search in searches.items() if search is None]
    if found and untuned:
        found.append(f"Caution: not tuned, so the comparison is not fair to them: {'; '.join(untuned)}.")
    return found


def left_out(collection: Collection, group: str | None = None) -> list[str]:
    """The runs that are left out, for a caption: their names if they are few, otherwise their number.

    Args:
        collection: of runs.
        group: whose runs are meant; None for all.
    """
    count = len(_problems(collection, group))
    return [f"{count} runs are left out: see the summary."] if count > _NAMED else named_left_out(collection, group)


def named_left_out(collection: Collection, group: str | None = None) -> list[str]:
    """One sentence per kind of problem, which names every run."""
    by_state: dict[str, list[tuple[str, int | None]]] = {}
    for problem in _problems(collection, group):
        by_state.setdefault(problem.state, []).append((problem.label, problem.seed))
    return [f"{_capital(state)}: {_named(runs)}." for state, runs in by_state.items()]


def _problems(collection: Collection, group: str | None) -> list[Problem]:
    return [problem for problem in collection.problems if group in (None, problem.group)]


def devices_of(runs: Iterable[Run]) -> list[str]:
    """Names of the hardware of every round."""
    return sorted({record.cost.device for run in runs for record in run.reader.records})


def versions_of(runs: Iterable[Run]) -> list[str]:
    """Versions of albench and torch of every round."""
    costs = [record.cost for run in runs for record in run.reader.records]
    return sorted({text for cost in costs for text in (f"albench {cost.albench}", f"torch {cost.torch}")})


def _over(replicates: Mapping[str, Sequence[Replicate]]) -> str:
    """The replicates of every method, and whether a deviation can be given."""
    first = next(iter(replicates.values()))
    counts = {label: len(own) for label, own in replicates.items()}
    if all(own == first for own in replicates.values()):
        if len(first) == 1:
            return f"one seed ({first[0].seed}): no deviation and no test can be given"
        return f"mean over {in_words(first)}"
    unit = "run" if len(splits_of(one for own in replicates.values() for one in own)) > 1 else "seed"
    most = max(counts.values())
    fewer = [label for label, count in counts.items() if count < most]
    listed = "; ".join(f"{label}: {counts[label]}" for label in fewer or counts)
    return f"mean over {min(counts.values())} to {_count(most, unit)}; not all methods have the same {unit}s ({listed})"


def _reference(results: Results, group: Group) -> list[str]:
    value, sd = group.supervised
    if not group.reference:
        return ["The supervised reference is missing, so S% is unknown."]
    if math.isnan(value):
        return ["The supervised reference has no value of this metric, so S% is unknown."]
    spread = f" ± {results.metric.text(sd)}" if len(group.reference) > 1 else ""
    other = group.borrowed or group.reference[0].source
    source = f", from {other}" if other else ""
    replicates = in_words(run.replicate for run in group.reference)
    reference = f"Supervised reference: {results.metric.text(value)}{spread}, all slices labeled, {replicates}{source}."
    ratio = _steps(group.reference) / float(np.mean([_steps(runs) for runs in group.methods.values()]))
    unequal = f"The reference took {ratio:.2f} times the optimizer steps of the methods, on average."
    return [reference, *[unequal] * is_unequal(ratio), *unfinished_reference(group), *reference_at_floor(group)]


def _steps(runs: Sequence[Run]) -> float:
    """Mean optimizer steps until the last evaluation."""
    return float(np.mean([steps(run)[-1] for run in runs]))


def _named(runs: Iterable[tuple[str, int | None]]) -> str:
    """Labels with their known seeds, a seed once although it may have runs on several splits."""
    by_label: dict[str, list[int]] = {}
    for label, seed in runs:
        by_label.setdefault(label, []).extend([] if seed is None else [seed])
    seeds = {label: [str(seed) for seed in dict.fromkeys(own)] for label, own in by_label.items()}
    return "; ".join(
        f"{label}, seed{'s' if len(own) > 1 else ''} {', '.join(own)}" if own else label for label, own in seeds.items()
    )


def _range(counts: Sequence[int]) -> str:
    """Ascending numbers of slices, which differ between splits, as text."""
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
