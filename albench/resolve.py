"""From what a user asks for to a run with every default written out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from albench.combinations import check_combinations
from albench.config import Choice, Network, Protocol, RunConfig, Training, build
from albench.data import Dataset, Prepared, Progress, SliceStack, Split, prepare, split_volumes
from albench.errors import ConfigError
from albench.masks import Ids
from albench.pool import Pool
from albench.registry import DATASETS, STRATEGIES, find, options_of, source_digest
from albench.settings import SECTIONS, by_section
from albench.start import start_slices
from albench.strategy import Strategy
from albench.streams import Streams
from albench.tuned_options import TunedOptions


@dataclass(frozen=True)
class ResolvedRun:
    """A run that is ready to start.

    Attributes:
        config: every setting, defaults written out.
        strategy: to run.
        prepared: the data.
        split: cases of each part.
    """

    config: RunConfig
    strategy: Strategy
    prepared: Prepared
    split: Split

    def initial(self, slices: SliceStack) -> Ids:
        """Ids of the slices of the pool that are labeled before round 0."""
        config = self.config
        streams = Streams(config.seed, config.title)
        shared = start_slices(slices, config.protocol.start, config.protocol.interval, streams)
        return self.strategy.initial(shared, Pool(slices))


def resolve(
    strategy: str,
    dataset: str,
    *,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
    tuned: TunedOptions | None = None,
) -> ResolvedRun:
    """Check all settings, prepare the data and write every default out.

    What the user sets comes before what suits the dataset (`Dataset.defaults`), and that before albench's defaults.

    Args:
        strategy: a name, `FILE.py:Class` or `module:Class`.
        dataset: likewise.
        settings: values by dotted name, such as {"training.epochs": 30}.
        workers: as `albench.data.prepare`.
        tuned: options of the strategy that a search found; a setting must not give them other values.

    Raises:
        ConfigError: a name, option or value is wrong.
        DataError: the data cannot be used.
    """
    if seed < 0:
        raise ConfigError(f"a seed must be at least 0, got {seed}: choose another")
    settings = settings or {}
    if tuned is not None:
        settings = tuned.added_to(find(STRATEGIES, strategy), settings)
    user = by_section(settings)
    strategy_object = make_strategy(strategy, settings)
    for section, cls in (("protocol", Protocol), ("training", Training), ("network", Network)):
        build(cls, user[section], section)  # a typing error should not wait for the data
    data = make_dataset(dataset, settings)
    protocol, training, network = common_settings(data, settings)
    check_combinations(protocol, training)
    cases = data.cases()
    patients = [data.patient(case) for case in cases]
    validation = protocol.validation != "none"
    unlabeled = {case for case in cases if not data.has_mask(case)}
    # before the preparation, so that an error need not wait for it
    split = split_volumes(
        cases, patients, protocol.split, protocol.split_of(seed), validation=validation, unlabeled=unlabeled
    )
    if tuned is not None:
        tuned.check_data(data.title, split.test)
    prepared = prepare(data, progress, workers)
    options = options_of(data)
    config = RunConfig(
        strategy=_choice(strategy_object, strategy, options_of(strategy_object)),
        dataset=_choice(data, dataset, {k: v for k, v in options.items() if k not in data.locations}),
        title=data.title,
        locations={k: v for k, v in options.items() if k in data.locations},
        data_key=prepared.key,
        seed=seed,
        protocol=protocol,
        training=training,
        network=network,
        weights_key=_file_key(network.weights),
        tuning=tuned.tuning if tuned is not None else None,
        classes=prepared.classes,
    )
    return ResolvedRun(config, strategy_object, prepared, split)


def common_settings(data: Dataset, settings: Mapping[str, object]) -> tuple[Protocol, Training, Network]:
    """Protocol, training and network of a dataset, with every default written out. Raises ConfigError."""
    user, suited = by_section(settings), by_section(data.defaults())
    sections = {name: suited[name] | user[name] for name in SECTIONS}
    return (
        build(Protocol, sections["protocol"], "protocol"),
        build(Training, sections["training"], "training"),
        build(Network, sections["network"], "network"),
    )


def make_strategy(spec: str, settings: Mapping[str, object]) -> Strategy:
    """A strategy from its name or place and the settings `strategy.*`. Raises ConfigError."""
    return build(find(STRATEGIES, spec), by_section(settings)["strategy"], "strategy")


def make_dataset(spec: str, settings: Mapping[str, object]) -> Dataset:
    """A dataset from its name or place and the settings `data.*`. Raises ConfigError."""
    return build(find(DATASETS, spec), by_section(settings)["data"], "data")


def _file_key(path: str | None) -> str | None:
    """A hash of a file's content; None if there is none, which the network complains about."""
    if path is None or not Path(path).is_file():
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _choice(chosen: Strategy | Dataset, spec: str, options: dict[str, object]) -> Choice:
    return Choice(chosen.name, spec, source_digest(type(chosen)), options)
