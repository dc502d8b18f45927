"""What a bundle holds beside its tables, as dataclasses: every field of `bundle.json`, and the names of the files.

bundle.json         what the results are of, and everything about the runs that does not change from round to round
scores.csv.gz       the metrics of every round: run, round, case, class, metric, value
rounds.csv.gz       everything else that a round records: labels, annotation cost, trainings, time
queries.csv.gz      the queried slices
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict, with_config

from albench.runs.records import Count, ProcessRecord, SplitRecord

BUNDLE = "bundle.json"
SCORES, ROUNDS, QUERIES = "scores.csv.gz", "rounds.csv.gz", "queries.csv.gz"
TABLES = (SCORES, ROUNDS, QUERIES)
REMEDY = "get the bundle again"
NOT_STATED = "not stated"

_closed = with_config(ConfigDict(extra="forbid", allow_inf_nan=False))


@_closed
@dataclass(frozen=True, slots=True)
class BundledSplit:
    """A split with what is known of its test cases.

    Attributes:
        split: who is in which part, and the initial slices.
        largest_foreground: share of foreground in the largest slice of every test case with foreground; empty if some
            of their labels are unknown.
    """

    split: SplitRecord
    largest_foreground: Mapping[str, float]


@_closed
@dataclass(frozen=True, slots=True)
class BundledRunRecord:
    """A run. The settings are those that its place in the bundle tells, see `albench.bundles.reader`.

    Attributes:
        folder: that it had below those of the suite or of all runs: `<dataset>/<strategy>/seed-<seed>-<digest>`.
        seed: of the run.
        albench: version that wrote it.
        settings: place in `BundleManifest.settings`, from 0.
        split: place in `BundleManifest.splits`.
        environment: place in `BundleManifest.environments`.
        ledger: SHA-256 of its last record, which follows from all records and files of the run; whoever has the run
            can tell that these are its results.
    """

    folder: str
    seed: Count
    albench: str
    settings: Count
    split: Count
    environment: Count
    ledger: str


@_closed
@dataclass(frozen=True, slots=True)
class BundledMethod:
    """A method on one group.

    Attributes:
        label: how tables name it.
        group: what it is compared within.
        dataset: under which results are filed.
        strategy: with all options, as `albench.config.Choice`.
        tuning: where its options come from, as `albench.config.Tuning`; None if they are not tuned.
        runs: of the method.
    """

    label: str
    group: str
    dataset: str
    strategy: Mapping[str, object]
    tuning: Mapping[str, object] | None
    runs: tuple[BundledRunRecord, ...]


@_closed
@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that is not in the bundle.

    Attributes:
        label: of its method.
        group: of its method.
        seed: of the run; None if it is not known.
        state: why: missing, failed, unfinished, damaged, ...
    """

    label: str
    group: str
    seed: Count | None
    state: str


@_closed
@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle holds.

    Attributes:
        format: see FORMAT; another one is rejected.
        albench: version that wrote the bundle.
        name: of the results.
        about: what the suite is for.
        made: day on which the bundle was made, as 2026-11-28, UTC.
        suite: name of the suite; empty without one.
        digest: of the suite; None without one.
        commands: of albench that computed the runs, with paths shortened to the names of files. Of a suite on Ray up to
            albench 0.4.0, whose processes do not keep it, `albench bench` with the name of the suite.
        commits: of albench's checkout, by the runs, or as whoever made the bundle states it.
        hardware: on which rounds were computed, with the number of threads of a CPU.
        license: of these numbers, as whoever made the bundle states it.
        data_license: of the data, likewise.
        order: labels in the order of tables; empty without a suite.
        left_out: runs of the suite that are not in the bundle.
        settings: all settings of runs but strategy, tuning and seed, as `albench.config.RunConfig`, each once.
        splits: of cases, each once.
        environments: versions and hardware, as `albench.runs.records.ProcessRecord`, each once.
        methods: with their runs.
        files: SHA-256 of the other files by name.
    """

    FORMAT: ClassVar[int] = 1

    format: int
    albench: str
    name: str
    about: str
    made: str
    suite: str
    digest: str | None
    commands: tuple[str, ...]
    commits: tuple[str, ...]
    hardware: tuple[str, ...]
    license: str
    data_license: str
    order: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    settings: tuple[Mapping[str, object], ...]
    splits: tuple[BundledSplit, ...]
    environments: tuple[tuple[ProcessRecord, ...], ...]
    methods: tuple[BundledMethod, ...]
    files: Mapping[str, str]

    @property
    def runs(self) -> list[tuple[BundledMethod, BundledRunRecord]]:
        """Every run with its method."""
        return [(method, run) for method in self.methods for run in method.runs]
