"""A suite on Ray Tune: one trial per run, on one or several machines.

Ray decides where and when a trial runs. The trial itself continues its run after the last finished round, on any node,
without Ray's checkpoints. Ray's own files are in the folder `.ray` of the suite.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its table ignores `verbose`
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray
from ray import tune
from ray.exceptions import RayTaskError

from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.ray_start import ray_started
from albench.benchmarks.storage import StorageLocation, open_storage
from albench.benchmarks.suite_callback import SuiteCallback
from albench.benchmarks.trial import run_trial
from albench.callback import NullCallback
from albench.errors import ConfigError
from albench.run_session import Execution
from albench.runs.failures import sentence
from albench.runs.records import RoundRecord
from albench.training.device import choose_device

if TYPE_CHECKING:
    import torch
    from ray.tune.experiment import Trial

EXPERIMENT = ".ray"
_RECORD, _NOTICE = "record", "notice"


@dataclass(frozen=True)
class Resources:
    """The resources of a run.

    Attributes:
        cpus: number of cores and of threads.
        gpus: number of GPUs; a fraction shares one.
    """

    cpus: int
    gpus: float

    def device(self) -> torch.device:
        """The device of a run in the process that has these resources. Sets the number of threads."""
        return choose_device("cuda" if self.gpus else "cpu", self.cpus)

    def of(self, trial: Callable[..., None]) -> Callable[..., None]:
        """The trial with these resources."""
        return tune.with_resources(trial, {"cpu": self.cpus, "gpu": self.gpus})


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        dashboard: address of the dashboard as the end of a sentence; empty if it is not installed.
        slots: number of runs that fit at the same time.
    """

    dashboard: str
    slots: int


@dataclass(frozen=True)
class RayOptions:
    """How runs are computed.

    Attributes:
        resources: of each run.
        parallel: maximum number of runs at the same time.
        retries: how often a failed run is tried again.
        keep_weights: keep the weights of every round.
        share: train round 0 once for all strategies that share it.
        graphs: replay training passes as CUDA graphs.
        accept_code_change: continue runs that other code has written.
        audit: audit every query.
        loggers: names of Tune's loggers that also receive every round.
    """

    resources: Resources
    parallel: int
    retries: int
    keep_weights: bool
    share: bool
    graphs: bool
    accept_code_change: bool
    audit: bool
    loggers: Sequence[str]


@contextmanager
def connected(address: str | None, cpus: int, gpus: float | None) -> Iterator[tuple[Cluster, Resources]]:
    """Start Ray on this machine, or connect to the cluster at `address`.

    Args:
        address: of the cluster; None starts Ray.
        cpus: cores of a run.
        gpus: GPUs of a run; None is one if the cluster has GPUs.

    Raises:
        ConfigError: there is no cluster at the address, or no node has the resources of a run.
    """
    with ray_started(address) as dashboard:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        taken = Resources(cpus, gpus if gpus is not None else float(any(node.get("GPU", 0) for node in nodes)))
        slots = sum(_fitting(node, taken) for node in nodes)
        if not slots:
            most = {name: max(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
            raise ConfigError(
                f"a run must fit on one node, it needs {cpus} CPUs and {taken.gpus:g} GPUs and the largest node has "
                f"{most['CPU']:g} and {most['GPU']:g}: lower --cpus-per-run or --gpus-per-run"
            )
        yield Cluster(f", dashboard at http://{dashboard}" if dashboard else "", slots), taken


def run_on_ray(
    runs: Sequence[PlannedRun], location: StorageLocation, options: RayOptions, callback: SuiteCallback
) -> dict[str, str]:
    """Do the runs. A run that fails is retried; if it fails again, the other runs continue.

    Args:
        runs: to do.
        location: where they are kept.
        options: how they are computed.
        callback: called with the progress.

    Returns:
        {folder: error} of the runs that failed.

    Raises:
        ConfigError: a logger is not installed.
    """
    by_folder, resources = {run.folder: run for run in runs}, options.resources

    def trial(config: Mapping[str, str]) -> None:
        execution = Execution(
            resources.device(),
            options.keep_weights,
            options.share,
            options.graphs,
            accept_code_change=options.accept_code_change,
            audit=options.audit,
        )
        run_trial(by_folder[config["folder"]], open_storage(location), execution, _Report())

    silence_ray()
    forward = _Forward(callback, by_folder)
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
            storage_path=location.uri,
            failure_config=tune.FailureConfig(max_failures=options.retries),
            callbacks=[forward, *(_logger(name, location.suite) for name in options.loggers)],
            verbose=0,
        ),
    )
    tuner.fit()
    return forward.failures


def _logger(name: str, suite: str) -> tune.Callback:
    """One of Tune's loggers. Raises ConfigError if its package is not installed."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.air.integrations.wandb import WandbLoggerCallback
    from ray.tune.logger import TBXLoggerCallback

    try:
        if name == "mlflow":
            return MLflowLoggerCallback(experiment_name=f"albench {suite}")
        return WandbLoggerCallback(project="albench", group=suite) if name == "wandb" else TBXLoggerCallback()
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"--log {name} needs its package, '{error}': pip install 'albench[{name}]'") from error


def silence_ray() -> None:
    """Turn off Tune's messages: albench reports errors of trials in one sentence and stores their traces."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


class _Report(NullCallback):
    """Reports what a run tells to Tune."""

    def on_round(self, record: RoundRecord) -> None:
        """Numbers for Tune's loggers, and the record for the callback."""
        numbers = {name: getattr(record, name) for name in ("round", "labeled", "unlabeled", "share")}
        sets = {name: asdict(metrics) for name, metrics in (("test", record.test), ("val", record.val)) if metrics}
        tune.report({**numbers, **sets, _RECORD: record})

    def on_notice(self, text: str) -> None:
        tune.report({_NOTICE: text})


def _name(trial: Trial) -> str:
    return trial.config["folder"].replace("/", "_")


def _fitting(node: Mapping[str, float], taken: Resources) -> int:
    """How many runs fit on a node. A GPU has room for whole runs only: four of 0.6 GPUs need four GPUs."""
    by_cpu = int(node.get("CPU", 0) // taken.cpus)
    if not taken.gpus:
        return by_cpu
    gpus = node.get("GPU", 0)
    by_gpu = gpus // taken.gpus if taken.gpus >= 1 else gpus * int(1 / taken.gpus + 1e-6)
    return min(by_cpu, int(by_gpu))


class _Forward(tune.Callback):
    """Forwards Tune's events to the callback of the suite.

    Attributes:
        failures: {folder: error} of the runs that failed.
    """

    def __init__(self, callback: SuiteCallback, runs: Mapping[str, PlannedRun]) -> None:
        self._callback, self._runs = callback, runs
        self.failures: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._callback.on_run_start(self._run(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        if _NOTICE in result:
            self._callback.on_run_notice(self._run(trial), result[_NOTICE])
        else:
            self._callback.on_round(self._run(trial), result[_RECORD])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._callback.on_run_finish(self._run(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._callback.on_retry(self._run(trial), self._reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        run = self._run(trial)
        self.failures[run.folder] = self._reason(trial)
        self._callback.on_failure(run, self.failures[run.folder])

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its callbacks for its own resume, and an open terminal cannot be pickled."""
        return {}

    def _run(self, trial: Trial) -> PlannedRun:
        return self._runs[trial.config["folder"]]

    def _reason(self, trial: Trial) -> str:
        """Why a trial failed."""
        path = trial.pickled_error_file
        error = pickle.loads(Path(path).read_bytes()) if path else None
        if not isinstance(error, RayTaskError):
            return "the process or the node of the run died"
        return sentence(error.cause if isinstance(error.cause, Exception) else error)
