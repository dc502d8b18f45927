"""A suite on Ray Tune: one trial per run, on one machine or many. The only file that imports ray.

albench owns resume: a trial continues its run from the last finished round, on whichever node it lands, and Ray only
decides where and when. What Ray itself writes goes to the folder `.ray` of the suite.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its table does not heed `verbose`
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray
from ray import tune
from ray.exceptions import RayTaskError

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.progress import ProgressTable
from albench.benchmarks.storage import Place, open_storage
from albench.benchmarks.trial import run_trial, sentence
from albench.data.paths import cache_folder
from albench.errors import ConfigError
from albench.loop import Execution
from albench.runs.store import Record
from albench.training.device import choose_device

if TYPE_CHECKING:
    import torch
    from ray.tune.experiment import Trial

EXPERIMENT = ".ray"


@dataclass(frozen=True)
class Resources:
    """What a run takes.

    Attributes:
        cpus: cores of a run, and its threads.
        gpus: of a run; a fraction shares a GPU.
    """

    cpus: int
    gpus: float

    def device(self) -> torch.device:
        """Where a run computes, in the process that has been given these. Sets the number of its threads."""
        return choose_device("cuda" if self.gpus else "cpu", self.cpus)

    def of(self, trial: Callable[..., None]) -> Callable[..., None]:
        """A trial that Ray gives as much."""
        return tune.with_resources(trial, {"cpu": self.cpus, "gpu": self.gpus})


@dataclass(frozen=True)
class Cluster:
    """What is there to compute on.

    Attributes:
        dashboard: where Ray's dashboard is, in words; empty if it is not installed.
        slots: runs that fit at once.
    """

    dashboard: str
    slots: int


@dataclass(frozen=True)
class Options:
    """How runs are computed.

    Attributes:
        resources: of a run.
        parallel: runs at once, at most.
        retries: how often a failed run is tried again.
        keep_weights: keep every round's weights.
        share: train round 0 once for all strategies that train it alike.
        loggers: names of Tune's loggers that get the rounds too.
    """

    resources: Resources
    parallel: int
    retries: int
    keep_weights: bool
    share: bool
    loggers: Sequence[str]


@contextmanager
def connected(address: str | None, cpus: int, gpus: float | None) -> Iterator[tuple[Cluster, Resources]]:
    """Start Ray on this machine, or join the cluster at `address`.

    Args:
        cpus: cores of a run.
        gpus: of a run; None takes one if there are any.

    Raises:
        ConfigError: there is no cluster at that address, or no node has what a run takes.
    """
    with _started(address) as dashboard:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        taken = Resources(cpus, gpus if gpus is not None else float(any(node.get("GPU", 0) for node in nodes)))
        slots = sum(_fitting(node, taken) for node in nodes)
        if not slots:
            most = {name: max(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
            raise ConfigError(
                f"a run must fit on one node, it asks for {cpus} CPUs and {taken.gpus:g} GPUs and the largest node has "
                f"{most['CPU']:g} and {most['GPU']:g}: lower --cpus-per-run or --gpus-per-run"
            )
        yield Cluster(f", dashboard at http://{dashboard}" if dashboard else "", slots), taken


def compute(runs: Sequence[PlannedRun], place: Place, options: Options, progress_table: ProgressTable) -> None:
    """Do the runs; one that fails is tried again, then left, and the others go on.

    Raises:
        ConfigError: a logger is not installed.
    """
    by_folder, resources = {run.folder: run for run in runs}, options.resources

    def trial(config: Mapping[str, str]) -> None:
        storage = open_storage(place)
        run_trial(
            by_folder[config["folder"]],
            storage,
            Execution(resources.device(), options.keep_weights, options.share),
            _tell,
        )

    be_quiet()
    tuner = tune.Tuner(
        resources.of(trial),
        param_space={"folder": tune.grid_search(list(by_folder))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=options.parallel,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=place.uri,
            failure_config=tune.FailureConfig(max_failures=options.retries),
            callbacks=[_Watch(progress_table, by_folder), *(_logger(name, place.suite) for name in options.loggers)],
            verbose=0,
        ),
    )
    tuner.fit()


@contextmanager
def _started(address: str | None) -> Iterator[str | None]:
    """A Ray that ends with the block; gives the place of its dashboard if that is installed.

    Its workers import from the folder it is started in before they import what is installed, so that folder is empty:
    in the one above a checkout, the checkout's would pass for the package.
    """
    os.environ["ALBENCH_CACHE"] = str(cache_folder().absolute())
    with tempfile.TemporaryDirectory(prefix="albench-") as empty:
        try:
            _reach(address)
            with _working_in(empty):
                context = ray.init(
                    address or os.environ.get("RAY_ADDRESS", "local"),
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"--address must be that of a running Ray cluster that lets you in, '{address}' does not: start one "
                "with 'ray start --head', set RAY_AUTH_MODE as on its nodes (docs/cluster.md), or leave --address out"
            ) from error
        try:
            yield context.dashboard_url
        finally:
            ray.shutdown()


@contextmanager
def _working_in(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _reach(address: str | None) -> None:
    """Raise OSError if nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition("//")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _logger(name: str, suite: str) -> tune.Callback:
    """One of Tune's loggers, from its own package."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.air.integrations.wandb import WandbLoggerCallback
    from ray.tune.logger import TBXLoggerCallback

    try:
        if name == "mlflow":
            return MLflowLoggerCallback(experiment_name=f"albench {suite}")
        return WandbLoggerCallback(project="albench", group=suite) if name == "wandb" else TBXLoggerCallback()
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"--log {name} needs its package, '{error}': pip install 'albench[{name}]'") from error


def be_quiet() -> None:
    """Errors of trials are told in one sentence; their traces are kept beside the runs."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def _tell(record: Record) -> None:
    tune.report({name: record[name] for name in ("round", "labeled", "unlabeled", "share", "test", "val")})


def _name(trial: Trial) -> str:
    return trial.config["folder"].replace("/", "_")


def _fitting(node: Mapping[str, float], taken: Resources) -> int:
    by_cpu = int(node.get("CPU", 0) // taken.cpus)
    return min(by_cpu, int(node.get("GPU", 0) / taken.gpus + 1e-6)) if taken.gpus else by_cpu


class _Watch(tune.Callback):
    """Passes on to the progress_table what Tune says about trials."""

    def __init__(self, progress_table: ProgressTable, runs: Mapping[str, PlannedRun]) -> None:
        self._table, self._runs = progress_table, runs

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._table.start(self._run(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Record, **info: object
    ) -> None:
        self._table.round(self._run(trial), result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._table.finish(self._run(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._table.again(self._run(trial), self._reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._table.fail(self._run(trial), self._reason(trial))

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune writes its callbacks to disk, to resume them itself, and a screen cannot be written."""
        return {}

    def _run(self, trial: Trial) -> PlannedRun:
        return self._runs[trial.config["folder"]]

    def _reason(self, trial: Trial) -> str:
        """Why a trial stopped."""
        path = trial.pickled_error_file
        error = pickle.loads(Path(path).read_bytes()) if path else None
        if not isinstance(error, RayTaskError):
            return "the process or the node of the run died"
        return sentence(error.cause if isinstance(error.cause, Exception) else error)
