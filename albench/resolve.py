"""From what a user asks for to a run with every default written out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from albench.annotator import Annotator
from albench.combinations import check_combinations
from albench.config import MOST_SEED, Choice, Protocol, RunConfig, Training, build
from albench.data import Dataset, LabeledStack, Prepared, Progress, SliceStack, Split, prepare, split_dataset
from albench.errors import ConfigError
from albench.exits import rejecting_exits
from albench.files import is_file
from albench.masks import Ids
from albench.network import Network
from albench.oracle import MaskOracle, Oracle
from albench.plugin_source import PluginFiles
from albench.pool import Pool
from albench.registry import (
    DATASETS,
    DEFAULT_NETWORK,
    NETWORKS,
    STRATEGIES,
    find,
    import_path,
    is_own,
    options_of,
    plugins_in,
    source_digest,
    source_files,
)
from albench.settings import by_section
from albench.start import check_start, initial_slices
from albench.strategy import Strategy
from albench.streams import Streams
from albench.tuned_options import TunedOptions

_START_EMBEDDINGS = "protocol.start_embeddings"


@dataclass(frozen=True)
class ResolvedRun:
    """A run that is ready to start.

    Attributes:
        config: every setting, defaults written out.
        strategy: to run.
        network: of all strategies.
        prepared: the data.
        split: cases of each part.
        cautions: of the dataset.
    """

    config: RunConfig
    strategy: Strategy
    network: Network
    prepared: Prepared
    split: Split
    cautions: tuple[str, ...] = ()

    @property
    def plugins(self) -> PluginFiles:
        """The source of strategy and network, and of what is among their options, if they are plugins."""
        chosen = plugins_in(self.strategy, "strategy") | plugins_in(self.network, "network")
        sources = {name: source_files(type(plugin)) for name, plugin in chosen.items()}
        return {name: files for name, files in sources.items() if files}

    def oracle(self, charged: LabeledStack | None = None) -> Oracle:
        """Who annotates the training slices; `charged` as in `Oracle`. Raises ConfigError as `Annotator.check`."""
        train, annotator = self.prepared.labeled_stack(self.split.train), Annotator.of(self.config)
        annotator.check(train.slices)
        return MaskOracle(train, annotator, charged)

    def initial(self, slices: SliceStack) -> Ids:
        """Ids of the slices of the pool that are labeled before round 0."""
        config = self.config
        shared = initial_slices(
            slices,
            config.protocol.start,
            config.protocol.interval,
            Streams(config.seed, config.title),
            strategy=self.strategy,
            embeddings=config.files.get(_START_EMBEDDINGS),
        )
        return self.strategy.initial(shared, Pool(slices))


class Datasets:
    """Datasets of several runs: equal options give one object, whose files are looked at and prepared once.

    Args:
        on_notice: as `albench.data.prepare`.
    """

    def __init__(self, on_notice: Callable[[str], None] = lambda text: None) -> None:
        self._on_notice = on_notice
        self._made: dict[str, Dataset] = {}
        self._prepared: dict[str, Prepared] = {}

    def make(self, spec: str, settings: Mapping[str, object]) -> Dataset:
        """As `make_dataset`."""
        key = _data_key(spec, settings)
        if key not in self._made:
            self._made[key] = make_dataset(spec, settings)
        return self._made[key]

    def prepare(
        self, spec: str, settings: Mapping[str, object], progress: Progress | None, workers: int | None
    ) -> Prepared:
        """As `albench.data.prepare`."""
        key = _data_key(spec, settings)
        if key not in self._prepared:
            self._prepared[key] = prepare(self.make(spec, settings), progress, workers, self._on_notice)
        return self._prepared[key]


def resolve(
    strategy: str,
    dataset: str,
    *,
    network: str = DEFAULT_NETWORK,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
    tuned: TunedOptions | None = None,
    datasets: Datasets | None = None,
    split: Split | None = None,
) -> ResolvedRun:
    """Check all settings, prepare the data and write every default out.

    What the user sets comes before what suits the dataset (`Dataset.defaults`), and that before albench's defaults.

    Args:
        strategy: a name, `FILE.py:Class` or `module:Class`.
        dataset: likewise.
        network: likewise.
        settings: values by dotted name, such as {"training.epochs": 30}.
        workers: as `albench.data.prepare`.
        tuned: options of the strategy that a search found; a setting must not give them other values.
        datasets: those that other runs have resolved; None looks at the files of the dataset.
        split: cases of each part; None splits them as the protocol says.

    Raises:
        ConfigError: a name, option or value is wrong.
        DataError: the data cannot be used.
    """
    datasets = datasets or Datasets()
    if not 0 <= seed <= MOST_SEED:
        raise ConfigError(f"a seed must be at least 0 and at most {MOST_SEED}, got {seed}: choose another")
    settings = settings or {}
    if tuned is not None:
        settings = tuned.added_to(find(STRATEGIES, strategy), settings)
    user = by_section(settings)
    strategy_object = make_strategy(strategy, settings)
    for section, cls in (("protocol", Protocol), ("training", Training), ("network", find(NETWORKS, network))):
        build(cls, user[section], section)  # a typing error should not wait for the data
    data = datasets.make(dataset, settings)
    with rejecting_exits(f"dataset '{data.name}'"):
        protocol, training = common_settings(data, settings)
        network_object = make_network(network, data, settings)
        check_combinations(protocol, training)
        check_start(protocol)
        files = {} if protocol.start_embeddings is None else {_START_EMBEDDINGS: protocol.start_embeddings}
        kinds = tuple(sorted(protocol.annotation_errors))  # whose order has no effect
        protocol = replace(protocol, start_embeddings=_files_key(files), annotation_errors=kinds)
        # before the preparation, so that an error need not wait for it
        split = split or split_dataset(data, protocol, protocol.split_of(seed))
        if tuned is not None:
            tuned.check_data(data.title, network_object.name, split.test)
        prepared = datasets.prepare(dataset, settings, progress, workers)
    prepared.check_drawn(split.val, split.test)
    config = RunConfig(
        strategy=_choice(strategy_object, strategy, _file_options(strategy_object), "strategy"),
        dataset=_choice(data, dataset, data.locations),
        title=data.title,
        locations={k: v for k, v in options_of(data).items() if k in data.locations},
        data_key=prepared.key,
        seed=seed,
        protocol=protocol,
        training=training,
        network=_choice(network_object, network, _file_options(network_object), "network"),
        files=files | files_of("strategy", strategy_object) | files_of("network", network_object),
        tuning=tuned.tuning if tuned is not None else None,
        classes=prepared.classes,
        scaled=prepared.own_grids is not None,
    )
    return ResolvedRun(config, strategy_object, network_object, prepared, split, tuple(data.cautions()))


def common_settings(data: Dataset, settings: Mapping[str, object]) -> tuple[Protocol, Training]:
    """Protocol and training of a dataset, with every default written out. Raises ConfigError."""
    user, suited = by_section(settings), by_section(data.defaults())
    protocol, training = (suited[name] | user[name] for name in ("protocol", "training"))
    return build(Protocol, protocol, "protocol"), build(Training, training, "training")


def make_network(spec: str, data: Dataset, settings: Mapping[str, object]) -> Network:
    """A network from its name or place and the settings `network.*`; those that suit the dataset are the default's.

    Raises:
        ConfigError: a name, an option or a value is wrong.
    """
    cls, options = find(NETWORKS, spec), by_section(settings)["network"]
    if cls is find(NETWORKS, DEFAULT_NETWORK):
        options = by_section(data.defaults())["network"] | options
    return build(cls, options, "network")


def make_strategy(spec: str, settings: Mapping[str, object]) -> Strategy:
    """A strategy from its name or place and the settings `strategy.*`. Raises ConfigError."""
    return build(find(STRATEGIES, spec), by_section(settings)["strategy"], "strategy")


def make_dataset(spec: str, settings: Mapping[str, object]) -> Dataset:
    """A dataset from its name or place and the settings `data.*`. Raises ConfigError."""
    return build(find(DATASETS, spec), by_section(settings)["data"], "data")


def _data_key(spec: str, settings: Mapping[str, object]) -> str:
    return json.dumps([spec, by_section(settings)["data"]], sort_keys=True, default=str)


def _choice(
    chosen: Strategy | Dataset | Network, spec: str, left_out: Sequence[str], section: str | None = None
) -> Choice:
    """What was chosen, without the options whose values are places; those of a `section` are files that are hashed."""
    options = chosen.hashed_options() if isinstance(chosen, Dataset) else options_of(chosen)
    values = {f"{section}.{name}": _pop(options, name) for name in left_out}
    named = {name: value for name, value in values.items() if section and value is not None}
    return Choice(chosen.name, spec, source_digest(chosen), options, _files_key(named))


def files_of(section: str, chosen: Strategy | Network) -> dict[str, object]:
    """{dotted name: path} of the options that name files, and of the plugins among the options that are no names."""
    options = options_of(chosen)
    files = {f"{section}.{name}": _pop(options, name) for name in _file_options(chosen)}
    inside = list(plugins_in(chosen, section).items())[1:]
    return files | {f"{name}.name": import_path(type(plugin)) for name, plugin in inside if not is_own(type(plugin))}


def _file_options(chosen: Strategy | Network) -> list[str]:
    """The options that name files, with a dot in those of plugins among the options."""
    return [
        f"{name}.{option}".removeprefix(".")
        for name, plugin in plugins_in(chosen).items()
        for option in plugin.files  # type: ignore[attr-defined]
    ]


def _pop(options: dict[str, Any], name: str) -> object:
    """Take an option with a dotted name out of nested options."""
    *outer, last = name.split(".")
    for key in outer:
        options = options[key]
    return options.pop(last, None)


def _files_key(named: Mapping[str, object]) -> str | None:
    """A hash of the content of files, by the option that names them; None if there are none. Raises ConfigError."""
    for option, path in named.items():
        if not is_file(Path(str(path))):
            raise ConfigError(
                f"{option} must name an existing file, '{path}' does not exist: correct it or leave the option out"
            )
    content = {option: hashlib.sha256(Path(str(path)).read_bytes()).hexdigest() for option, path in named.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16] if content else None
