"""Tuned options: the document that `albench tune` writes about a strategy on a dataset, and that runs read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, with_config

from albench.config import Choice, Tuning, build
from albench.errors import ConfigError
from albench.registry import Plugin, former_source_digest, source_digest
from albench.runs.documents import read_document
from albench.settings import by_section


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True)
class TunedOptions:
    """The options that a search found.

    Attributes:
        format: see `albench.runs.records.FORMAT`.
        albench: version that wrote it.
        strategy: that was tuned; its options are those that were varied and those that were set for the search.
        dataset: title of the dataset on which it was tuned.
        network: name of the network with which it was tuned.
        cases: validation cases by which the options were chosen, of all runs of the search.
        tuning: the search and its cost.
    """

    format: int
    albench: str
    strategy: Choice
    dataset: str
    network: str
    cases: tuple[str, ...]
    tuning: Tuning

    def added_to(self, strategy: type[Plugin], settings: Mapping[str, object]) -> dict[str, object]:
        """The settings of a run with the tuned options among them.

        Args:
            strategy: class of the strategy that runs.
            settings: values by dotted name.

        Raises:
            ConfigError: another strategy was tuned, or a setting gives a tuned option another value.
        """
        if strategy.name != self.strategy.name:
            raise ConfigError(
                f"tuned options must be of the strategy that runs, got those of '{self.strategy.name}' for "
                f"'{strategy.name}': run '{self.strategy.name}', or tune '{strategy.name}'"
            )
        tuned = {f"strategy.{name}": value for name, value in self.strategy.options.items()}
        for name, value in tuned.items():
            if settings.get(name, value) != value:
                raise ConfigError(
                    f"a tuned option must have its tuned value, got {name}={settings[name]} instead of {value}: leave "
                    "out the setting or the tuned options"
                )
        merged = {**settings, **tuned}
        made = build(strategy, by_section(merged)["strategy"], "strategy")
        if self.strategy.code not in (source_digest(made), former_source_digest(made)):
            raise ConfigError(
                f"tuned options must be of the code that runs, the file of '{strategy.name}' was changed since it was "
                "tuned: tune it again"
            )
        return merged

    def check_data(self, dataset: str, network: str, test: Collection[str]) -> None:
        """Check that the options were tuned on the dataset and the network of a run and without its test cases.

        Args:
            dataset: title.
            network: name.
            test: names of the test cases.

        Raises:
            ConfigError: they were not.
        """
        if dataset != self.dataset:
            raise ConfigError(
                f"tuned options must be of the dataset that runs, got those of '{self.dataset}' for '{dataset}': tune "
                f"on '{dataset}'"
            )
        if network != self.network:
            raise ConfigError(
                f"tuned options must be of the network that runs, got those of '{self.network}' for '{network}': tune "
                f"with --network {network}"
            )
        seen = sorted(set(test).intersection(self.cases))
        if seen:
            raise ConfigError(
                f"options must not be tuned on test cases, the search chose by '{seen[0]}' and the run tests on it: "
                "use the split of the search, or tune on this split"
            )


def read_tuned(path: Path | str) -> TunedOptions:
    """The tuned options in a file. Raises StoreError if it is missing, damaged or of another version."""
    return read_document(TunedOptions, Path(path), "write it with albench tune")
