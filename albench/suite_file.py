"""The file of a suite as it is written: its datasets, variants and strategies, whether or not what they name exists.

What it means is in `albench.benchmarks.suite`. Each combination of a dataset, a variant and a strategy has a digest
that depends neither on its names nor on its place, so that runs are found again when the file is edited
(`albench.runs.live_suite`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from albench.config import Seed, build
from albench.errors import ConfigError
from albench.registry import DEFAULT_NETWORK

REMEDY = "correct '{option}' in the file"


@dataclass(frozen=True)
class StrategyEntry:
    """A method: its strategy, label and settings, and the file of its tuned options."""

    strategy: str
    label: str | None = None
    settings: dict[str, object] | None = None
    tuned: str | None = None

    @property
    def title(self) -> str:
        """Its label."""
        return self.label or self.strategy


@dataclass(frozen=True)
class VariantEntry:
    """Settings, and perhaps another network, with which all strategies are repeated; without a group, the only ones."""

    group: str
    settings: dict[str, object] | None = None
    network: str | None = None


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset, its name in reports, settings, and variants in place of those of the file."""

    dataset: str
    name: str | None = None
    settings: dict[str, object] | None = None
    variants: list[object] | None = None

    @property
    def title(self) -> str:
        """Its name in reports."""
        return self.name or self.dataset.rpartition(":")[2]

    def group(self, variant: VariantEntry, *, named: bool) -> str:
        """Of the runs with a variant; begins with the name of the dataset if that is `named`."""
        return ", ".join(filter(None, (self.title, variant.group))) if named else variant.group


@dataclass(frozen=True)
class _Content:
    strategies: list[object]
    about: str = ""
    dataset: str | None = None
    datasets: list[object] | None = None
    network: str = DEFAULT_NETWORK
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Seed], Field(min_length=1)] = 5
    settings: dict[str, object] | None = None
    variants: list[object] | None = None


@dataclass(frozen=True)
class SuiteFile:
    """The content of a file.

    Attributes:
        path: of the file.
        about: the purpose of the suite; empty if it is not told.
        strategies: {dotted path in the file: method}.
        datasets: likewise.
        several: whether the file lists datasets, so that groups are named after them.
        network: of all strategies, unless a variant has its own.
        seeds: of all methods.
        settings: of all runs, by section.
        variants: of all datasets without their own.
    """

    path: Path
    about: str
    strategies: Mapping[str, StrategyEntry]
    datasets: Mapping[str, DatasetEntry]
    several: bool
    network: str
    seeds: Sequence[int]
    settings: Mapping[str, object] | None
    variants: Sequence[object] | None

    @property
    def name(self) -> str:
        """Of the suite: that of the file without its ending."""
        return self.path.stem

    def variants_of(self, place: str, dataset: DatasetEntry) -> dict[str, VariantEntry]:
        """{dotted path: variant} of a dataset at a place in the file; one without a group if there are none.

        Raises:
            ConfigError: an entry is wrong.
        """
        where, values = (self.name, self.variants) if dataset.variants is None else (place, dataset.variants)
        paths = [f"{where}.variants[{index}]" for index in range(len(values or []))]
        found = {
            path: build(VariantEntry, as_mapping(value, path), path, REMEDY)
            for path, value in zip(paths, values or [], strict=True)
        }
        return found or {f"{where}.variants": VariantEntry("")}


def read_suite_file(path: Path) -> SuiteFile:
    """Read the file of a suite.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong; the message gives its dotted path.
    """
    content = build(_Content, _read(path), path.stem, REMEDY)
    strategies = {
        place: _strategy(value, place)
        for place, value in ((f"{path.stem}.strategies[{i}]", value) for i, value in enumerate(content.strategies))
    }
    if not strategies:
        raise ConfigError(f"{path.stem}.strategies must list at least one strategy, it is empty: add a name")
    return SuiteFile(
        path=path,
        about=content.about,
        strategies=strategies,
        datasets=_datasets(content, path.stem),
        several=content.datasets is not None,
        network=content.network,
        seeds=range(content.seeds) if isinstance(content.seeds, int) else content.seeds,
        settings=content.settings,
        variants=content.variants,
    )


def entry_digest(dataset: DatasetEntry, variant: VariantEntry, method: StrategyEntry) -> str:
    """Eight hexadecimal digits of what the runs of a method are in a file, apart from how it names them."""
    content: list[object] = [dataset.dataset, dataset.settings or {}, variant.settings or {}]
    content += [method.strategy, method.settings or {}, method.tuned]
    content += [variant.network] if variant.network else []  # last, so that others have the digests they always had
    return hashlib.sha256(json.dumps(_with_text_keys(content), sort_keys=True).encode()).hexdigest()[:8]


def as_mapping(value: object, path: str) -> dict[str, object]:
    """An entry that must be a mapping. Raises ConfigError."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{path} must be a mapping from names to values, got {value!r}: write 'name: value' lines")
    return value


def _with_text_keys(value: object) -> object:
    """The same content with keys that can be sorted, because nobody has checked yet what the options are."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(own) for key, own in value.items()}
    return [_with_text_keys(own) for own in value] if isinstance(value, list) else value


def _read(path: Path) -> Mapping[str, object]:
    import yaml  # late, because strategies import this module with the records of runs

    from albench.yaml_loader import load_yaml

    try:
        content = load_yaml(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"a suite must be a readable text file, '{path}' is not: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"a suite must be valid YAML, '{path}' is not: {error}") from error
    return as_mapping(content, path.stem)


def _strategy(value: object, path: str) -> StrategyEntry:
    if isinstance(value, str):
        return StrategyEntry(value)
    return build(StrategyEntry, as_mapping(value, path), path, REMEDY)


def _datasets(content: _Content, stem: str) -> dict[str, DatasetEntry]:
    """{dotted path: dataset} of a file. Raises ConfigError."""
    if (content.dataset is None) == (content.datasets is None):
        has = "neither" if content.dataset is None else "both"
        raise ConfigError(
            f"{stem} must have either dataset or datasets, it has {has}: name one dataset, or list several"
        )
    if content.dataset is not None:
        return {f"{stem}.dataset": DatasetEntry(content.dataset)}
    found = {}
    for i, value in enumerate(content.datasets or []):
        place = f"{stem}.datasets[{i}]"
        entry = {"dataset": value} if isinstance(value, str) else as_mapping(value, place)
        found[place] = build(DatasetEntry, entry, place, REMEDY)
    if not found:
        raise ConfigError(f"{stem}.datasets must list at least one dataset, it is empty: add a name")
    titles = [dataset.title for dataset in found.values()]
    repeated = [title for i, title in enumerate(titles) if title in titles[:i]]
    if repeated:
        raise ConfigError(f"{stem}.datasets must have different names, '{repeated[0]}' occurs twice: give one a 'name'")
    return found
