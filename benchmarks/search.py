"""Search over the options of a strategy with Ray Tune, scored on the validation cases.

Every sample is an ordinary run with its own records, so a repeated search continues after the finished rounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
from ray import tune
from ray.tune.search.sample import Domain

from albench.benchmarks.ray_runner import EXPERIMENT, Resources, silence_ray
from albench.config import build
from albench.errors import ConfigError, suggestion
from albench.loop import run
from albench.registry import STRATEGIES, find
from albench.resolve import resolve
from albench.run_session import Execution
from albench.yaml_loader import load_yaml

METRICS = {name: name for name in ("val_dice_slice", "val_dice_foreground", "val_dice_volume")} | {
    "val_dice": "val_dice_slice"
}
_HOW = "write NAME=low..high, NAME=log:low..high or NAME=[a,b,c]"


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        strategy: name or import path.
        dataset: likewise.
        space: {option: values}, as the user wrote them.
        settings: values by dotted name, for every sample.
        metric: one of METRICS; the score of a sample is the mean over rounds and seeds, higher is better.
        seeds: of the runs of a sample.
        samples: maximum number of combinations.
    """

    strategy: str
    dataset: str
    space: Mapping[str, str]
    settings: Mapping[str, object]
    metric: str
    seeds: Sequence[int]
    samples: int

    def domains(self) -> dict[str, Domain]:
        """{option: its domain}. Raises ConfigError if an option, a range or the metric is wrong."""
        if self.metric not in METRICS:
            hint = suggestion(self.metric, METRICS)
            raise ConfigError(f"--metric must be of the validation cases, got '{self.metric}': {hint}")
        cls = find(STRATEGIES, self.strategy)
        return {name: _domain(cls, name, text) for name, text in self.space.items()}

    def draw(self) -> list[dict[str, object]]:
        """Distinct combinations, the same in every call; fewer than `samples` if the space is smaller."""
        rng, domains = np.random.RandomState(0), self.domains()  # the type of generator that Ray Tune needs
        drawn: list[dict[str, object]] = []
        for _ in range(20 * self.samples):
            options = {name: domain.sample(random_state=rng) for name, domain in domains.items()}
            if options not in drawn and len(drawn) < self.samples:
                drawn.append(options)
        return drawn


@dataclass(frozen=True)
class Sample:
    """A combination of options.

    Attributes:
        options: {option: value}.
        score: see `Search.metric`; None if a run failed.
    """

    options: Mapping[str, object]
    score: float | None


def search(what: Search, out: Path, resources: Resources, parallel: int) -> list[Sample]:
    """Try combinations of options.

    Args:
        what: the search, with absolute paths.
        out: folder of the runs, absolute.
        resources: of each sample.
        parallel: maximum number of samples at the same time.

    Returns:
        The samples, best first.

    Raises:
        ConfigError: an option, a range or the metric is unknown or wrong.
    """
    metric = METRICS[what.metric].removeprefix("val_")

    def trial(config: Mapping[str, Mapping[str, object]]) -> None:
        device = resources.device()
        settings = dict(what.settings) | {f"strategy.{name}": value for name, value in config["options"].items()}
        values = []
        for seed in what.seeds:
            ready = resolve(what.strategy, what.dataset, seed=seed, settings=settings)
            values += [getattr(record.val, metric) for record in run(ready, out, Execution(device)).records]
        tune.report({"score": sum(values) / len(values)})

    silence_ray()
    results = tune.Tuner(
        resources.of(trial),
        param_space={"options": tune.grid_search(what.draw())},
        tune_config=tune.TuneConfig(max_concurrent_trials=parallel, reuse_actors=True),
        run_config=tune.RunConfig(name=EXPERIMENT, storage_path=str(out), verbose=0),
    ).fit()
    each = (results[index] for index in range(len(results)))
    samples = [Sample((result.config or {})["options"], (result.metrics or {}).get("score")) for result in each]
    return sorted(samples, key=lambda sample: -1.0 if sample.score is None else sample.score, reverse=True)


def parse_space(assignments: Sequence[str]) -> dict[str, str]:
    """`["weight=0.1..10", "batch_norm"]` to {"weight": "0.1..10", "batch_norm": ""}. Raises ConfigError."""
    space = {name.strip(): values.strip() for name, _, values in (text.partition("=") for text in assignments)}
    if not space:
        raise ConfigError(f"a search needs an option to vary, got none: use --over and {_HOW}")
    return space


def _domain(cls: type, name: str, text: str) -> Domain:
    """The domain of an option. Raises ConfigError."""
    hints = get_type_hints(cls, include_extras=False)
    options = [field.name for field in dataclasses.fields(cls)]
    if name not in options:
        raise ConfigError(f"--over must name an option of the strategy, got '{name}': {suggestion(name, options)}")
    low, dots, high = text.removeprefix("log:").partition("..")
    values = [load_yaml(low), load_yaml(high)] if dots else _listed(hints[name], name, text)
    for value in values:
        build(cls, {name: value}, "strategy", "change {option} in --over")
    if not dots:
        return tune.choice(values)
    first, last = (float(str(value)) for value in values)
    if not first < last or (text.startswith("log:") and first <= 0):
        raise ConfigError(f"--over {name} must be a range from low to high, positive with log:, got '{text}': {_HOW}")
    if all(isinstance(value, int) for value in values):
        return (tune.lograndint if text.startswith("log:") else tune.randint)(int(first), int(last) + 1)
    return (tune.loguniform if text.startswith("log:") else tune.uniform)(first, last)


def _listed(hint: object, name: str, text: str) -> list[object]:
    """The values that the user lists; without a list, all values of the type. Raises ConfigError."""
    if text:
        values = load_yaml(text)
        if isinstance(values, list) and values:
            return values
        raise ConfigError(f"--over {name} must be a range or a list of values, got '{text}': {_HOW}")
    if hint is bool:
        return [False, True]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    raise ConfigError(f"--over {name} must give the values to try, it gives none: {_HOW}")
