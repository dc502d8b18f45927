"""The plan of a suite: folder and progress of every run, and the manifest that reports read."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

from albench import __version__
from albench.benchmarks.matching import matched
from albench.benchmarks.stand_in import PlannedDatasets, StandIn
from albench.benchmarks.storage import Storage
from albench.benchmarks.suite import RunSpec, Suite
from albench.config import RunConfig
from albench.data import Progress, PublishedSize
from albench.errors import ConfigError, DataError, StoreError, suggestion
from albench.plugin_source import PluginFiles
from albench.registry import DATASETS, NETWORKS, STRATEGIES, find
from albench.resolve import Datasets, ResolvedRun, files_of, make_strategy, resolve
from albench.runs.layout import run_folder
from albench.runs.live_suite import methods_of, renamed
from albench.runs.manifest import MANIFEST, read_manifest, write_manifest
from albench.runs.reader import RunProgress, RunReader
from albench.runs.records import FORMAT, Manifest, ManifestRun, RoundRecord
from albench.suite_file import read_suite_file


@dataclass(frozen=True)
class PlannedRun:
    """A run of a suite with its folder.

    Attributes:
        spec: the run in the suite.
        config: every setting.
        slices: number of slices of each part.
        shape: channels, height and width of what its network gets.
        folder: of the run, relative to that of the suite.
        plugins: source of its strategy and network, if they are plugins.
        published: by what size it is planned, because its data are not there.
    """

    spec: RunSpec
    config: RunConfig
    slices: SliceCounts
    shape: tuple[int, int, int]
    folder: str
    plugins: PluginFiles = field(default_factory=dict)
    published: PublishedSize | None = None

    @classmethod
    def of(cls, spec: RunSpec, resolved: ResolvedRun, published: PublishedSize | None = None) -> PlannedRun:
        """A run that is resolved."""
        slices = resolved.prepared.stack(resolved.split.train)
        shape = (slices.inputs, *slices.shape[1:])
        folder = run_folder(Path(), resolved.config).as_posix()
        return cls(spec, resolved.config, SliceCounts.of(resolved), shape, folder, resolved.plugins, published)

    @property
    def rounds(self) -> int:
        """Total number of rounds: one more than the queries that the protocol wants and the pool allows."""
        protocol, unlabeled = self.config.protocol, self.slices.annotatable - self.slices.initial
        return min(protocol.rounds, -(-unlabeled // protocol.budget)) + 1

    @property
    def name(self) -> str:
        """Name of the run in messages."""
        group = f"{self.spec.group}, " if self.spec.group else ""
        split = "" if self.config.protocol.splits in (1, "nested") else f", split {self.config.protocol.split_seed}"
        return f"{group}{self.spec.label}, seed {self.spec.seed}{split}"

    def records(self, root: Path) -> tuple[RoundRecord, ...]:
        """The finished rounds; none of a run that cannot be read, because it fails when it is continued."""
        try:
            return RunReader(root / self.folder).records
        except StoreError:
            return ()

    def done(self, root: Path) -> int:
        """Number of finished rounds, likewise."""
        return self._progress(root).done

    def finished(self, root: Path) -> bool:
        """Whether all rounds are finished, likewise."""
        return self._progress(root).finished(self.rounds - 1)

    def _progress(self, root: Path) -> RunProgress:
        reader = RunReader(root / self.folder)
        try:
            return reader.progress if reader.started and reader.config else RunProgress(0, None)
        except StoreError:
            return RunProgress(0, None)


@dataclass(frozen=True)
class SliceCounts:
    """Number of slices of each part of a run, of those of `train` that can be labeled, and of the initial ones."""

    train: int
    val: int
    test: int
    annotatable: int
    initial: int

    @classmethod
    def of(cls, resolved: ResolvedRun) -> SliceCounts:
        """The counts of a run."""
        split = resolved.split
        train, val, test = (resolved.prepared.stack(part) for part in (split.train, split.val, split.test))
        return cls(len(train), len(val), len(test), int(train.annotatable.sum()), len(resolved.initial(train)))


def plan_runs(
    suite: Suite,
    progress: Progress | None = None,
    workers: int | None = 1,
    on_notice: Callable[[str], None] = lambda text: None,
    *,
    published: bool = False,
) -> list[PlannedRun]:
    """Check every run of a suite, prepare its data and determine its folder.

    Args:
        suite: the suite.
        progress: called with the progress of the preparation.
        workers: as `albench.data.prepare`.
        on_notice: likewise.
        published: plan by their published size what data are not there; the runs cannot be started then.

    Raises:
        ConfigError: a setting is wrong, or two runs are equal.
        DataError: the data cannot be used. With several datasets, all of them are found before any is prepared.
    """
    planned: dict[str, PlannedRun] = {}
    datasets = PlannedDatasets(on_notice) if published else Datasets(on_notice)
    _check_datasets(suite, datasets)
    for spec in matched([with_absolute_paths(spec) for spec in suite.runs], datasets):
        try:
            resolved = resolve_run(spec, progress, workers, datasets)
        except ConfigError as error:
            if not spec.group:
                raise
            raise ConfigError(f"{suite.name}, group '{spec.group}': {error}") from error
        data = datasets.make(spec.dataset, spec.settings)
        run = PlannedRun.of(spec, resolved, data.published if isinstance(data, StandIn) else None)
        folder = run.folder
        if folder in planned and planned[folder].plugins != resolved.plugins:
            raise ConfigError(
                f"{suite.name}: plugins must have different names or settings, '{planned[folder].name}' and "
                f"'{spec.label}' differ only in their code: give one class another name"
            )
        if folder in planned:
            raise ConfigError(
                f"{suite.name}: two runs must differ in a setting, '{planned[folder].name}' and '{spec.label}' do not: "
                "remove one of them"
            )
        planned[folder] = run
    return list(planned.values())


def _check_datasets(suite: Suite, datasets: Datasets) -> None:
    """Raise DataError if one of several datasets is not there, and ConfigError if it does not have an option."""
    first = {spec.dataset_name: spec for spec in reversed(suite.runs)}
    names = list(dict.fromkeys(spec.dataset_name for spec in suite.runs))
    for name in names if len(names) > 1 else ():
        spec = with_absolute_paths(first[name])
        try:
            datasets.make(spec.dataset, spec.settings).cases()
        except ConfigError as error:
            raise ConfigError(f"{suite.name}, dataset '{name}': {error}") from error
        except DataError as error:
            others = " ".join(f"--dataset {shlex.quote(other)}" for other in names if other != name)
            places = [f"data.{option}" for option in find(DATASETS, spec.dataset).locations]
            where = f"set {' and '.join(places)} of '{name}' in the file" if places else f"correct '{name}' in the file"
            raise DataError(f"{error}; in {suite.name}, {where}, or run it without '{name}': {others}") from error


def choose(runs: Sequence[PlannedRun], labels: Sequence[str] | None) -> list[PlannedRun]:
    """The runs with one of these labels; without labels, all. Raises ConfigError for an unknown label."""
    known = {run.spec.label for run in runs}
    for label in labels or []:
        if label not in known:
            hint = suggestion(label, sorted(known))
            raise ConfigError(f"--only must name a label of the suite, got '{label}': {hint}")
    return [run for run in runs if not labels or run.spec.label in labels]


def resolve_run(
    spec: RunSpec, progress: Progress | None = None, workers: int | None = 1, datasets: Datasets | None = None
) -> ResolvedRun:
    """A run that is ready to start; `datasets` are those of other runs. Raises ConfigError, DataError."""
    return resolve(
        spec.strategy,
        spec.dataset,
        network=spec.network,
        seed=spec.seed,
        settings=spec.settings,
        progress=progress,
        workers=workers,
        tuned=spec.tuned,
        datasets=datasets,
    )


def write_suite_manifest(
    suite: Suite, runs: Sequence[PlannedRun], storage: Storage, on_notice: Callable[[str], None] = lambda text: None
) -> None:
    """Write the manifest of a suite: its runs, and their labels and groups in tables.

    Runs that it lists already stay in it, such as those of other seeds, as long as their folders exist. They have the
    names that the file of the suite gives their methods now; those of methods that it no longer has are not reported.

    Args:
        suite: to write about.
        runs: of the suite, as it is planned now.
        storage: of the runs.
        on_notice: told, in one sentence, if the manifest that was there cannot be read.

    Raises:
        StoreError: the storage cannot be read or written.
    """
    planned = [
        ManifestRun(
            label=run.spec.label,
            group=run.spec.group or run.config.title,
            strategy=run.spec.strategy,
            dataset=run.spec.dataset_name or run.config.title,
            seed=run.spec.seed,
            folder=run.folder,
            entry=run.spec.entry,
        )
        for run in runs
    ]
    others = _other_runs({run.folder for run in runs}, storage, on_notice)
    if suite.file is not None:
        others = renamed(others, methods_of(read_suite_file(suite.file)))
    listed = _by_method([*planned, *others])
    shown = [{name: value for name, value in asdict(run).items() if name != "entry"} for run in listed]
    content = json.dumps(shown, sort_keys=True)  # folders are named by digests of settings
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    file = "" if suite.file is None else str(suite.file.absolute())
    write_manifest(storage.local, Manifest(FORMAT, suite.name, digest, __version__, suite.about, listed, file))
    storage.send(MANIFEST)


def _other_runs(planned: Set[str], storage: Storage, on_notice: Callable[[str], None]) -> list[ManifestRun]:
    """The runs of the manifest whose folders exist and are not planned."""
    storage.fetch(MANIFEST)
    try:
        manifest = read_manifest(storage.local)
    except StoreError as error:
        on_notice(f"only the runs of this call are listed again, because the list could not be read: {error}")
        return []
    others = [run for run in manifest.runs if run.folder not in planned] if manifest else []
    for run in others:
        storage.fetch(run.folder)
    return [run for run in others if (storage.local / run.folder).is_dir()]


def _by_method(runs: Sequence[ManifestRun]) -> tuple[ManifestRun, ...]:
    """The runs of each group and label one after the other, in the order of the first of them."""
    methods: dict[tuple[str, str], list[ManifestRun]] = {}
    for run in runs:
        methods.setdefault((run.group, run.label), []).append(run)
    return tuple(chain.from_iterable(methods.values()))


def with_absolute_paths(spec: RunSpec) -> RunSpec:
    """The same run with absolute paths of plugins and files, valid in every working folder."""
    locations = {f"data.{name}" for name in find(DATASETS, spec.dataset).locations}
    locations.add("protocol.start_embeddings")
    locations |= {f"network.{name}" for name in find(NETWORKS, spec.network).files}
    locations |= {f"strategy.{name}" for name in find(STRATEGIES, spec.strategy).files}
    return replace(
        spec,
        strategy=_absolute_plugin(spec.strategy),
        dataset=_absolute_plugin(spec.dataset),
        network=_absolute_plugin(spec.network),
        settings={
            name: str(Path(value).absolute()) if name in locations and isinstance(value, str) else value
            for name, value in spec.settings.items()
        }
        | _places_inside(spec),
    )


def _places_inside(spec: RunSpec) -> dict[str, object]:
    """{dotted name: absolute path} of the plugins among the options of a strategy, and of their files."""
    strategy = make_strategy(spec.strategy, spec.settings)
    return {
        name: _absolute_plugin(place) if name.endswith(".name") else str(Path(place).absolute())
        for name, place in files_of("strategy", strategy).items()
        if name.count(".") > 1 and isinstance(place, str)
    }


def _absolute_plugin(spec: str) -> str:
    file, colon, name = spec.rpartition(":")
    return f"{Path(file).absolute()}{colon}{name}" if file.endswith(".py") else spec
