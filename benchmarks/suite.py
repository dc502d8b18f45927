"""A suite: a YAML file with strategies, seeds and settings, and the list of runs that follows from it.

    about: The purpose of the suite.                # optional
    dataset: phantom
    network: unet                                   # optional; of all strategies
    seeds: 5                                        # or a list, such as [0, 1, 7]
    settings: {protocol: {rounds: 3}}               # for all runs
    strategies:
      - random                                      # a name, FILE.py:Class or module:Class
      - {strategy: star, label: random query, settings: {strategy: {query_rule: random}}}
      - {strategy: taal, tuned: tuned.json}         # by albench tune; its path is relative to that of this file
    variants:                                       # optional: repeat all strategies with other settings
      - {group: half budget, settings: {protocol: {budget: 8}}}
      - {group: residual, network: residual}        # with its default options, unless they are given here

Instead of `dataset`, a suite may list several, each of which is run with all variants and strategies:

    datasets:
      - phantom                                     # a name, FILE.py:Class or module:Class
      - dataset: folder
        name: lesions                               # in reports; that of the dataset if not given
        settings: {data: {root: lesions}}           # a relative place is taken from the folder of this file
        variants: [{group: few labels}]             # optional: in place of those of the file

Runs of one group are compared with each other; they differ only in strategy and seed, and in the split where
`protocol.splits` has every seed repeated on several of them. With several datasets, a group is one of them with one
variant.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from albench.config import Protocol, Training, build
from albench.errors import AlbenchError, ConfigError, suggestion
from albench.files import is_file
from albench.names import check_name
from albench.registry import DATASETS, DEFAULT_NETWORK, NETWORKS, STRATEGIES, find
from albench.settings import by_section
from albench.suite_file import REMEDY, DatasetEntry, SuiteFile, as_mapping, entry_digest, read_suite_file
from albench.tuned_options import TunedOptions, read_tuned

SUITES = Path(__file__).parent / "suites"
_MOST_RUNS = 100_000
_RUN = 1000  # bytes of a run in a list
_SECTIONS = {"protocol": Protocol, "training": Training}

Sections = Mapping[str, Mapping[str, object]]
T = TypeVar("T")


@dataclass(frozen=True)
class RunSpec:
    """One run of a suite.

    Attributes:
        label: name of the method in tables; unique within a group.
        group: runs that are compared with each other; empty for the only group of a suite.
        strategy: name or import path.
        dataset: likewise.
        seed: of the run.
        settings: values by dotted name, as `albench.resolve.resolve` takes them.
        tuned: where options of the strategy among them come from.
        network: likewise.
        dataset_name: of the dataset in reports; empty where a suite has a single one, which then has its own title.
        entry: digest of what it is in the file (`albench.suite_file`); empty if its dataset is not from there.
    """

    label: str
    group: str
    strategy: str
    dataset: str
    seed: int
    settings: Mapping[str, object]
    tuned: TunedOptions | None = None
    network: str = DEFAULT_NETWORK
    dataset_name: str = ""
    entry: str = ""


@dataclass(frozen=True)
class Suite:
    """A named list of runs.

    Attributes:
        name: of the suite.
        about: its purpose; may be empty.
        runs: in the order of the file.
        file: that it was read from; None if it was made otherwise.
    """

    name: str
    about: str
    runs: Sequence[RunSpec]
    file: Path | None = None


@dataclass(frozen=True)
class _Cell:
    """One dataset with one variant.

    Attributes:
        group: of its runs.
        dataset: name or import path.
        name: of the dataset in reports; empty for its title.
        network: name or import path.
        settings: of the file, by dotted name.
        digests: {dotted path of a method in the file: its digest there}; none of a dataset that is not in the file.
        foreign: sections of methods that are not meant for it, because dataset or network are other ones.
    """

    group: str
    dataset: str
    name: str
    network: str
    settings: dict[str, object]
    digests: Mapping[str, str]
    foreign: tuple[str, ...]


def load_suite(
    spec: str,
    *,
    settings: Mapping[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | Sequence[str] | None = None,
    network: str | None = None,
) -> Suite:
    """Read a suite.

    Args:
        spec: its name, or the path of its file.
        settings: values by dotted name that override those of the file.
        seeds: replace those of the file.
        dataset: one or several that replace those of the file. The name of one of the file chooses that one, with its
            options; data options of the file do not apply to another one.
        network: replaces that of the file and of its variants; likewise for options of the network.

    Raises:
        ConfigError: the suite is unknown, or an entry is wrong; the message gives its dotted path.
    """
    file = read_suite_file(_find(spec))
    name = file.name
    if network is not None:
        _known(NETWORKS, network, "--network")
    known: dict[str, type] = {"data": object, "network": _known(NETWORKS, file.network, f"{name}.network"), **_SECTIONS}
    cells = _cells(file, [dataset] if isinstance(dataset, str) else dataset, known, network)
    _check_places(cells, settings or {}, name)
    chosen = seeds or file.seeds
    runs: list[RunSpec] = []
    for cell, (place, entry) in itertools.product(cells, file.strategies.items()):
        cls = _known(STRATEGIES, entry.strategy, f"{place}.strategy")
        own = _sections(entry.settings, f"{place}.settings", known | {"strategy": cls})
        check_name("a label", entry.title)
        merged, tuned = cell.settings | _without(cell.foreign, own) | dict(settings or {}), None
        if entry.tuned is not None:
            tuned, merged = _tuned(file.path.parent / entry.tuned, f"{place}.tuned", cls, merged)
        splits = _splits(merged)
        _check_number(len(runs) + len(chosen) * len(splits), name)
        runs += [
            RunSpec(
                entry.title,
                cell.group,
                entry.strategy,
                cell.dataset,
                seed,
                merged if len(splits) == 1 else merged | {"protocol.split_seed": split_seed},
                tuned,
                cell.network,
                cell.name,
                cell.digests.get(place, ""),
            )
            for split_seed in splits
            for seed in chosen
        ]
    _check_unique(runs, name)
    return Suite(name, file.about, runs, file.path)


def suite_names() -> list[str]:
    """Names of the suites of albench."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def _find(spec: str) -> Path:
    if spec in suite_names():
        return SUITES / f"{spec}.yaml"
    path = Path(spec)
    if path.suffix in (".yaml", ".yml") and is_file(path):
        return path
    hint = suggestion(spec, suite_names())
    raise ConfigError(f"a suite must be a known name or an existing YAML file, got '{spec}': {hint}")


def _cells(
    file: SuiteFile, wanted: Sequence[str] | None, known: Mapping[str, type], network: str | None
) -> list[_Cell]:
    """Every dataset with every variant.

    Args:
        file: of the suite.
        wanted: datasets in place of those of the file, or some of these.
        known: what takes the options of each section.
        network: in place of those of the file and its variants.

    Raises:
        ConfigError: an entry is wrong.
    """
    listed = file.datasets
    chosen = list(listed.items()) if wanted is None else _wanted(wanted, listed)
    named = file.several or len(chosen) > 1
    common = _sections(file.settings, f"{file.name}.settings", known)
    cells = []
    for place, dataset in chosen:
        cls = _known(DATASETS, dataset.dataset, place if place in listed else "--dataset")
        own = _sections(dataset.settings, f"{place}.settings", known)
        other_data = ("data.",) * (place not in listed)
        for where, variant in file.variants_of(place, dataset).items():
            written = variant.network or file.network
            used = network or written
            takes = {**known, "network": _known(NETWORKS, written, f"{where}.network")}
            its_own = _sections(variant.settings, f"{where}.settings", takes)
            foreign = other_data + ("network.",) * (used != file.network)
            settings = _without(foreign, common | own)
            settings |= _without(other_data + ("network.",) * (used != written), its_own)
            if file.several:
                places = {f"data.{name}" for name in cls.locations}
                settings |= {
                    name: str(file.path.parent / value)
                    for name, value in settings.items()
                    if name in places and isinstance(value, str)
                }
            group = dataset.group(variant, named=named)
            check_name("a group", group)
            methods = file.strategies.items() if place in listed else ()
            digests = {at: entry_digest(dataset, variant, method) for at, method in methods}
            title = dataset.title if named else ""
            cells.append(_Cell(group, dataset.dataset, title, used, settings, digests, foreign))
    return cells


def _wanted(names: Sequence[str], listed: Mapping[str, DatasetEntry]) -> list[tuple[str, DatasetEntry]]:
    """The datasets of these names with their paths: those of the file by their names or classes, otherwise new ones."""
    found: dict[str, DatasetEntry] = {}
    for name in names:
        own = {place: dataset for place, dataset in listed.items() if name == dataset.title}
        own = own or {place: dataset for place, dataset in listed.items() if name == dataset.dataset}
        found |= own or {f"--dataset {name}": DatasetEntry(name)}
    return list(found.items())


def _check_places(cells: Sequence[_Cell], settings: Mapping[str, object], stem: str) -> None:
    """Reject a place of data that is given for all of several datasets. Raises ConfigError."""
    names = list(dict.fromkeys(cell.name for cell in cells))
    places = {f"data.{name}" for cell in cells for name in find(DATASETS, cell.dataset).locations}
    for given in sorted(places & settings.keys()):
        if len(names) > 1:
            raise ConfigError(
                f"{given} must be given for one dataset, {stem} has {len(names)} ({'; '.join(names)}): set it in the "
                "file beside its dataset, or choose one with --dataset"
            )


def _known(group: str, spec: str, path: str) -> type[Any]:
    try:
        return find(group, spec)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _tuned(
    file: Path, path: str, strategy: type, settings: Mapping[str, object]
) -> tuple[TunedOptions, dict[str, object]]:
    """What a file says, and the settings with its options among them. Raises ConfigError."""
    try:
        tuned = read_tuned(file)
        return tuned, tuned.added_to(strategy, settings)
    except AlbenchError as error:
        raise ConfigError(f"{path}: {error}") from error


def _sections(settings: Mapping[str, object] | None, path: str, classes: Mapping[str, type]) -> dict[str, object]:
    """`{"protocol": {"rounds": 3}}` to `{"protocol.rounds": 3}`. Names and values are checked. Raises ConfigError.

    Args:
        classes: what takes the options of each section.
    """
    flat: dict[str, object] = {}
    for section, values in (settings or {}).items():
        if section not in classes:
            hint = suggestion(section, classes, f"{path}.")
            raise ConfigError(f"a section of settings must be known, got '{path}.{section}': {hint}")
        options = as_mapping(values, f"{path}.{section}")
        if section != "data":  # a dataset may have required options, such as its folder, that the user gives
            build(classes[section], options, f"{path}.{section}", REMEDY)
        flat |= {f"{section}.{name}": value for name, value in options.items()}
    return flat


def _without(sections: tuple[str, ...], settings: Mapping[str, object]) -> dict[str, object]:
    """The settings of other sections."""
    return {name: value for name, value in settings.items() if not name.startswith(sections)}


def _splits(settings: Mapping[str, object]) -> range:
    """The seeds of the splits on which each seed is repeated."""
    protocol = build(Protocol, by_section(settings)["protocol"], "protocol")
    count = 1 if protocol.splits == "nested" else protocol.splits
    return range(protocol.split_seed, protocol.split_seed + count)


def _check_number(runs: int, name: str) -> None:
    if runs > _MOST_RUNS:
        raise ConfigError(
            f"{name} must have at most {_MOST_RUNS} runs, it has {runs} or more, whose list alone would take "
            f"{_RUN * runs / 1e9:,.1f} GB of memory: give fewer seeds, splits, strategies or variants"
        )


def _check_unique(runs: Sequence[RunSpec], name: str) -> None:
    seen = set()
    for run in runs:
        key = (run.group, run.label, run.seed, run.settings.get("protocol.split_seed"))
        if key in seen:
            where = f" in group '{run.group}'" if run.group else ""
            raise ConfigError(
                f"{name}: a label and a seed must occur once, '{run.label}' with seed {run.seed} occurs twice{where}: "
                "change one of the labels, or list each seed once"
            )
        seen.add(key)
