"""Search over the options of a strategy, scored on the validation cases.

A search is a suite whose methods are combinations of options. Every combination has runs with their own records, so a
repeated search continues after the finished rounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard, get_args, get_origin, get_type_hints

import numpy as np
import yaml

from albench import __version__
from albench.benchmarks.plan import PlannedRun, with_absolute_paths
from albench.benchmarks.runner import SuiteOutcome, SuitePlan, plan_loaded
from albench.benchmarks.suite import RunSpec, Suite
from albench.benchmarks.suite_callback import SuiteCallback
from albench.combinations import check_one_split
from albench.config import Choice, Tuning, build
from albench.errors import AlbenchError, ConfigError, suggestion
from albench.registry import DEFAULT_NETWORK, NETWORKS, STRATEGIES, find, options_of, plugins_in, source_digest
from albench.resolve import common_settings, make_dataset, make_strategy
from albench.runs.reader import RunReader
from albench.runs.records import FORMAT
from albench.tuned_options import TunedOptions
from albench.yaml_loader import load_yaml

METRICS = ("val_dice_volume", "val_dice_foreground", "val_dice_slice", "val_nsd")
_HOW = "write NAME=low..high, NAME=log:low..high or NAME=[a,b,c]"

Domain = Callable[[np.random.Generator], object]
"""Draws a value of an option."""


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        strategy: name or import path.
        dataset: likewise.
        space: {option: values}, as the user wrote them.
        settings: values by dotted name, for every trial.
        metric: one of METRICS; the score of a trial is its mean over rounds and seeds, higher is better.
        seeds: of the runs of a trial.
        samples: maximum number of trials.
        network: name or import path.
    """

    strategy: str
    dataset: str
    space: Mapping[str, str]
    settings: Mapping[str, object]
    metric: str
    seeds: Sequence[int]
    samples: int
    network: str = DEFAULT_NETWORK

    @property
    def name(self) -> str:
        """What is tuned on what, as the name of a folder. Raises ConfigError."""
        data = make_dataset(self.dataset, self.settings)
        other = "" if self.network == DEFAULT_NETWORK else f"-{find(NETWORKS, self.network).name}"
        return f"{find(STRATEGIES, self.strategy).name}-{data.title}{other}"

    @property
    def fixed(self) -> dict[str, object]:
        """{option: value} of the strategy that all trials have in common."""
        prefix = "strategy."
        return {name.removeprefix(prefix): v for name, v in self.settings.items() if name.startswith(prefix)}

    def check(self) -> None:
        """Check everything but the space of the search. Raises ConfigError."""
        if self.metric not in METRICS:
            hint = suggestion(self.metric, METRICS)
            raise ConfigError(f"--metric must be of the validation cases, got '{self.metric}': {hint}")
        protocol, _ = common_settings(make_dataset(self.dataset, self.settings), self.settings)
        check_one_split(protocol)
        if protocol.validation == "none":
            raise ConfigError(
                "a search needs validation cases to choose by, got protocol.validation=none: set it to free or charged"
            )

    def domains(self) -> dict[str, Domain]:
        """{option: its domain}. Raises ConfigError if an option or its values are wrong."""
        fixed = self.fixed
        for name in self.space:
            if name in fixed:
                raise ConfigError(
                    f"an option must be varied or set, strategy.{name} is both: leave out its --over or its --set"
                )
        return {name: _domain(*self._owner(name), text) for name, text in self.space.items()}

    def _owner(self, name: str) -> tuple[type, str, str]:
        """The class that has an option, such as that of `inner` for `inner.passes`; its name there, and in full.

        Raises:
            ConfigError: there is no such option.
        """
        owner, option = find(STRATEGIES, self.strategy), name
        if "." in name:
            found = plugins_in(make_strategy(self.strategy, self.settings))
            outer, _, inside = name.rpartition(".")
            owner, option = (type(found[outer]), inside) if outer in found else (owner, name)
        options = [field.name for field in dataclasses.fields(owner)]
        if option not in options:
            hint = suggestion(option, options, name.removesuffix(option))
            raise ConfigError(f"--over must name an option of the strategy, got '{name}': {hint}")
        return owner, option, name

    def draw(self) -> list[dict[str, object]]:
        """Distinct combinations that the strategy accepts, the same in every call; at most `samples`.

        There are fewer if the space is smaller. Raises ConfigError if the strategy accepts none.
        """
        rng, domains = np.random.default_rng(0), self.domains()
        cls, rejections = find(STRATEGIES, self.strategy), []
        drawn: list[dict[str, object]] = []
        for _ in range(20 * self.samples):
            options = {name: domain(rng) for name, domain in domains.items()}
            if len(drawn) == self.samples or options in drawn:
                continue
            try:
                build(cls, self.fixed | options, "strategy")
            except ConfigError as error:
                rejections.append(error)
            else:
                drawn.append(options)
        if not drawn:
            raise rejections[0]
        return drawn

    def suite(self, name: str) -> Suite:
        """The runs of all trials, under a name. Raises ConfigError."""
        runs = []
        for number, options in enumerate(self.draw(), 1):
            label = f"trial {number} ({', '.join(f'{key}={in_words(value)}' for key, value in options.items())})"
            varied = {**self.settings, **{f"strategy.{key}": value for key, value in options.items()}}
            for seed in self.seeds:
                run = RunSpec(label, "", self.strategy, self.dataset, seed, varied, network=self.network)
                runs.append(with_absolute_paths(run))
        return Suite(name, f"A search over {', '.join(self.space)} on validation cases.", runs)


@dataclass(frozen=True)
class Trial:
    """A combination of options.

    Attributes:
        options: {option: value}.
        runs: one per seed.
        score: see `Search.metric`; None if a run is not finished or the metric does not exist.
    """

    options: Mapping[str, object]
    runs: Sequence[PlannedRun]
    score: float | None


def plan_search(what: Search, out: Path, callback: SuiteCallback | None = None) -> SuitePlan:
    """Check a search, prepare its data and find the runs that are left.

    Args:
        what: the search.
        out: its folder.
        callback: called with the progress.

    Raises:
        AlbenchError: the search, its data or its folder cannot be used.
    """
    what.check()
    folder = out.absolute()
    return plan_loaded(what.suite(folder.name), storage=folder.parent, callback=callback)


def ranked(what: Search, outcome: SuiteOutcome) -> list[Trial]:
    """The trials of a finished search, best first. Raises StoreError."""
    seeds = len(what.seeds)
    trials = []
    for index, options in enumerate(what.draw()):
        runs = outcome.runs[index * seeds : (index + 1) * seeds]
        trials.append(Trial(options, runs, _score(runs, outcome, what.metric)))
    return sorted(trials, key=lambda trial: -math.inf if trial.score is None else trial.score, reverse=True)


def tuned_options(what: Search, outcome: SuiteOutcome, trials: Sequence[Trial]) -> TunedOptions:
    """What a finished search found, and what it cost.

    Args:
        what: the search.
        outcome: its runs, of which those count that failed too.
        trials: best first.

    Raises:
        AlbenchError: every trial failed.
    """
    best, cls = trials[0], find(STRATEGIES, what.strategy)
    if best.score is None:
        reason = next(iter(outcome.failures.values()), f"{what.metric} does not exist")
        raise AlbenchError(f"a search needs a trial with a score, all {len(trials)} failed, the first with: {reason}")
    found = {**what.fixed, **best.options}
    made = build(cls, found, "strategy")
    started = [run for run in outcome.runs if run.done(outcome.folder)]
    records = [record for run in started for record in run.records(outcome.folder)]
    trainings = [training for record in records for training in (*record.fit_trainings, *record.query_trainings)]
    return TunedOptions(
        format=FORMAT,
        albench=__version__,
        strategy=Choice(cls.name, best.runs[0].spec.strategy, source_digest(made), found),
        dataset=best.runs[0].config.title,
        network=best.runs[0].config.network.name,
        cases=tuple(sorted({case for run in started for case in RunReader(outcome.folder / run.folder).split.val})),
        tuning=Tuning(
            trials=len(trials),
            seeds=len(what.seeds),
            options=dict(best.options),
            metric=what.metric,
            score=best.score,
            steps=sum(training.steps for training in trainings),
            seconds=sum(record.cost.seconds.total for record in records),
        ),
    )


def parse_space(assignments: Sequence[str]) -> dict[str, str]:
    """`["weight=0.1..10", "batch_norm"]` to {"weight": "0.1..10", "batch_norm": ""}. Raises ConfigError."""
    space = {name.strip(): values.strip() for name, _, values in (text.partition("=") for text in assignments)}
    if not space:
        raise ConfigError(f"a search needs an option to vary, got none: use --over and {_HOW}")
    return space


def in_words(value: object) -> str:
    """A value of an option as the user writes it, a number with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _score(runs: Sequence[PlannedRun], outcome: SuiteOutcome, metric: str) -> float | None:
    values = []
    for run in runs:
        if run.folder in outcome.failures or not run.finished(outcome.folder):
            return None
        for record in run.records(outcome.folder):
            values.append(getattr(record.val, metric.removeprefix("val_")))
    return None if None in values else sum(values) / len(values)


def _domain(cls: type, field: str, name: str, text: str) -> Domain:
    """The domain of an option `field` of a class, called `name` in full. Raises ConfigError."""
    log = text.startswith("log:")
    low, dots, high = text.removeprefix("log:").partition("..")
    if dots and not text.startswith("["):
        return _range(cls, field, name, text, (low, high), log=log)
    values = [_checked(cls, field, name, value) for value in _listed(get_type_hints(cls)[field], name, text)]
    return lambda rng: values[rng.integers(len(values))]


def _checked(cls: type, field: str, name: str, value: object) -> object:
    """A value in the type of its option, as JSON has it. Options that depend on each other are not checked."""
    hint = get_type_hints(cls, include_extras=True)[field]
    alone = dataclasses.make_dataclass("Option", [(field, hint)])
    prefix = f"strategy.{name}".removesuffix(f".{field}")
    made: object = build(alone, {field: value}, prefix, "change {option} in --over")
    return value if len(plugins_in(made)) > 1 else options_of(made)[field]


def _range(cls: type, field: str, name: str, text: str, bounds: Sequence[str], *, log: bool) -> Domain:
    low, high = (_checked(cls, field, name, _yaml(name, end)) for end in bounds)
    if not _is_number(low) or not _is_number(high) or not low < high or (log and low <= 0):
        raise ConfigError(
            f"--over {name} must be a range of numbers from low to high, positive with log:, got '{text}': {_HOW}"
        )
    whole = isinstance(low, int) and isinstance(high, int)
    ends = (math.log(low), math.log(high + whole)) if log else (low, high + whole)

    def draw(rng: np.random.Generator) -> object:
        value = math.exp(rng.uniform(*ends)) if log else rng.uniform(*ends)
        return min(max(math.floor(value) if whole else value, low), high)  # an exponential is rounded

    return draw


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(hint: object, name: str, text: str) -> Sequence[object]:
    """The values that the user lists; without a list, all values of the type. Raises ConfigError."""
    if text:
        values = _yaml(name, text)
        if isinstance(values, list) and values:
            return values
        raise ConfigError(f"--over {name} must be a range or a list of values, got '{text}': {_HOW}")
    if hint is bool:
        return [False, True]
    if get_origin(hint) is Literal:
        return get_args(hint)
    raise ConfigError(f"--over {name} must give the values to try, it gives none: {_HOW}")


def _yaml(name: str, text: str) -> object:
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--over {name} must have values in YAML, got '{text}': {_HOW}") from error
