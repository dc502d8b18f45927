"""How methods query and how they train, to tell the effect of a query from that of a training.

Reports do not import strategies, so the options that give a built-in strategy the query or the training of `random` are
listed here. Any other strategy is judged by its records: it trains as `random` does, unless it says that it is
semi-supervised, has pseudo-labels, or trains in its query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from albench.reports.runs import Run

Options = Mapping[str, object]
Methods = Mapping[str, Sequence[Run]]

RANDOM = "random"
"""The strategy with a random query and supervised training."""


@dataclass(frozen=True)
class Rules:
    """What the options of a strategy do.

    Attributes:
        random_query: options that query at random.
        supervised: options that train on labeled slices alone, in one stage, with the usual loss.
        query_only: options that act on nothing but the query.
        no_pseudo_labels: options that train without pseudo-labels and otherwise alike; none if this is `supervised`.
        same_query: the strategy with the same query and supervised training; its options are among those of this one.
        same_query_options: options that the other strategy needs besides.
        query_note: how the query differs with supervised training, as a sentence; empty if it does not.
    """

    random_query: Options
    supervised: Options
    query_only: frozenset[str]
    same_query: str | None = None
    same_query_options: Options = field(default_factory=dict)
    no_pseudo_labels: Options = field(default_factory=dict)
    query_note: str = ""


def _ceal(same_query: str, options: Options | None = None) -> Rules:
    return Rules({"query_rule": "random"}, {"pseudo": 0}, frozenset({"query_rule"}), same_query, options or {})


RULES: Mapping[str, Rules] = {
    "ceal-margin": _ceal("margin"),
    "ceal-entropy": _ceal("entropy"),
    "ceal-mc-dropout": _ceal("mc-dropout", {"measure": "entropy"}),
    "star": Rules(
        {"query_rule": "random"},
        {"aggregation": "none"},
        frozenset({"query_rule", "similarity", "selection"}),
        query_note="Without attention, Eq. 4 of STAR compares features of the first stage, so the supervised arm does "
        "not have exactly STAR's query.",
        no_pseudo_labels={"pseudo_count": 0},
    ),
    "taal": Rules(
        {"query_rule": "random"}, {"weight": 0}, frozenset({"query_rule", "alpha_query", "aggregation", "top"})
    ),
}
"""Strategies that do not train as `random` does, by name."""


@dataclass(frozen=True)
class Arms:
    """Methods of a group that share the query or the training of one method; None where the group has none.

    Attributes:
        query_supervised: the same query with supervised training.
        random_training: a random query with the same training.
        random_supervised: a random query with supervised training.
        without_pseudo_labels: the same query and the same training, but without pseudo-labels.
    """

    query_supervised: str | None
    random_training: str | None
    random_supervised: str | None
    without_pseudo_labels: str | None = None


def arms_of(label: str, methods: Methods) -> Arms | None:
    """The arms of a method; None if it queries at random or trains supervised, so that nothing has to be separated.

    Args:
        label: of the method.
        methods: {label: runs} of its group.
    """
    own = methods[label]
    if queries_at_random(own) or is_supervised(own):
        return None
    others = {other: runs for other, runs in methods.items() if other != label}
    supervised = {other: runs for other, runs in others.items() if is_supervised(runs)}
    chance = [other for other, runs in supervised.items() if queries_at_random(runs)]
    return Arms(
        _first(other for other, runs in supervised.items() if _same_query(own[0], runs[0])),
        _first(other for other, runs in others.items() if queries_at_random(runs) and train_alike(own, runs)),
        _first(sorted(chance, key=lambda other: methods[other][0].strategy != RANDOM)),
        _first(other for other, runs in others.items() if _lacks_pseudo_labels(own[0], runs[0])),
    )


def train_alike(one: Sequence[Run], other: Sequence[Run]) -> bool:
    """Whether two methods train in the same way, as far as their options and records show; each given by its runs."""
    if is_supervised(one) or is_supervised(other):
        return is_supervised(one) and is_supervised(other)
    rules = _rules(one[0])
    return _same(one[0], other[0], () if rules is None else rules.query_only)


def is_supervised(runs: Sequence[Run]) -> bool:
    """Whether a method trains on labeled slices alone, in one stage, with the usual loss."""
    rules = _rules(runs[0])
    if rules is not None:
        return _has(runs[0], rules.supervised)
    if any(run.reader.environment.strategy_kind == "semi-supervised" for run in runs):
        return False
    records = [record for run in runs for record in run.reader.records]
    return not any(record.pseudo.count or record.query_trainings for record in records)


def queries_at_random(runs: Sequence[Run]) -> bool:
    """Whether a method queries like `random`."""
    rules = _rules(runs[0])
    if rules is None:
        return runs[0].strategy == RANDOM and runs[0].reader.config.strategy.code is None
    return _has(runs[0], rules.random_query)


def is_arm(runs: Sequence[Run]) -> bool:
    """Whether a method separates the query of another one from its training, and is not meant to be used itself.

    That is a random query with a training of its own, or a semi-supervised strategy with supervised training.
    """
    if is_supervised(runs):
        return _rules(runs[0]) is not None
    return queries_at_random(runs)


def query_note(runs: Sequence[Run]) -> str:
    """How the query of an arm with supervised training differs from that of its strategy; empty if it does not."""
    rules = _rules(runs[0])
    return "" if rules is None or queries_at_random(runs) or not is_supervised(runs) else rules.query_note


def _same_query(one: Run, other: Run) -> bool:
    """Whether a run with supervised training has the query of another run and differs in nothing else."""
    rules = _rules(one)
    if rules is None:
        return False
    if other.strategy == rules.same_query:
        shared = {name: value for name, value in _options(other).items() if name not in rules.same_query_options}
        return _has(one, shared) and _has(other, rules.same_query_options)
    return _same(one, other, rules.supervised)


def _lacks_pseudo_labels(one: Run, other: Run) -> bool:
    """Whether another run trains without the pseudo-labels of a run and differs in nothing else."""
    rules = _rules(one)
    if rules is None or not rules.no_pseudo_labels or _has(one, rules.no_pseudo_labels):
        return False
    return _has(other, rules.no_pseudo_labels) and _same(one, other, rules.no_pseudo_labels)


def _same(one: Run, other: Run, apart_from: Collection[str]) -> bool:
    """Whether two runs have the same strategy and options, apart from some."""
    first, second = _options(one), _options(other)
    names = (first.keys() | second.keys()) - set(apart_from)
    code = one.reader.config.strategy.code == other.reader.config.strategy.code
    return one.strategy == other.strategy and code and all(first.get(name) == second.get(name) for name in names)


def _has(run: Run, options: Options) -> bool:
    own = _options(run)
    return all(name in own and own[name] == value for name, value in options.items())


def _options(run: Run) -> Options:
    return run.reader.config.strategy.options


def _rules(run: Run) -> Rules | None:
    """The rules of a built-in strategy; None for a plugin, also for one that has the name of a built-in strategy."""
    return RULES.get(run.strategy) if run.reader.config.strategy.code is None else None


def _first(labels: Iterable[str]) -> str | None:
    return next(iter(labels), None)
