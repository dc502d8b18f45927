"""Running a suite: plan it, do what is left on Ray or in this process, and say what became of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from albench.benchmarks.callback import SuiteCallback
from albench.benchmarks.plan import PlannedRun, choose, plan_runs, write_suite_manifest
from albench.benchmarks.sequential import run_sequentially
from albench.benchmarks.storage import Storage, StorageLocation, open_storage
from albench.benchmarks.suite import Suite, load_suite
from albench.errors import ConfigError
from albench.training.device import choose_device
from albench.workbench import Execution


@dataclass(frozen=True)
class SuitePlan:
    """A suite whose runs and their folders are known.

    Attributes:
        suite: what was asked for.
        runs: all runs.
        chosen: those with the labels that were asked for.
        location: where they are kept.
        storage: the same, opened on this machine.
    """

    suite: Suite
    runs: Sequence[PlannedRun]
    chosen: Sequence[PlannedRun]
    location: StorageLocation
    storage: Storage

    @property
    def left(self) -> list[PlannedRun]:
        """The chosen runs that are not finished."""
        return [run for run in self.chosen if not run.finished(self.storage.local)]


@dataclass(frozen=True)
class SuiteOutcome:
    """What became of the runs of a suite.

    Attributes:
        folder: of the suite; `albench.reports.load` reads it.
        runs: those that were asked for.
        failures: {folder of a run: error} of the runs that were given up.
    """

    folder: Path
    runs: Sequence[PlannedRun]
    failures: Mapping[str, str]

    @property
    def finished(self) -> list[PlannedRun]:
        """The runs that are complete."""
        return [run for run in self.runs if run.finished(self.folder)]


def plan_suite(
    suite: str,
    *,
    settings: Mapping[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | None = None,
    only: Sequence[str] | None = None,
    storage: str = "runs",
    callback: SuiteCallback | None = None,
) -> SuitePlan:
    """Check every run of a suite, prepare its data, and find out what is left. Arguments as `run_suite`."""
    callback = callback or SuiteCallback()
    listed = load_suite(suite, settings=settings, seeds=seeds, dataset=dataset)
    runs = plan_runs(listed, callback.on_preparation, workers=None)
    location = StorageLocation(storage if "://" in storage else str(Path(storage).absolute()), listed.name)
    plan = SuitePlan(listed, runs, choose(runs, only), location, open_storage(location))
    for run in runs:
        plan.storage.fetch(run.folder)
    callback.on_plan(listed.name, plan.chosen, plan.left)
    return plan


def run_suite(
    suite: str,
    *,
    settings: Mapping[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | None = None,
    only: Sequence[str] | None = None,
    storage: str = "runs",
    use_ray: bool = True,
    address: str | None = None,
    cpus_per_run: int = 1,
    gpus_per_run: float | None = None,
    max_parallel: int | None = None,
    device: str = "auto",
    retries: int = 2,
    keep_weights: bool = False,
    share: bool = True,
    loggers: Sequence[str] = (),
    callback: SuiteCallback | None = None,
) -> SuiteOutcome:
    """Run what is left of a suite.

    A script should call it under `if __name__ == "__main__":`, because data are prepared in several processes.

    Args:
        suite: a name, or the path of a YAML file.
        settings: values by dotted name for all runs, such as {"training.epochs": 30}.
        seeds: other seeds than those of the suite.
        dataset: another dataset than that of the suite.
        only: labels to run now; None runs all.
        storage: where runs are kept: a folder, or a URI such as s3://bucket/runs.
        use_ray: run on Ray, or one run after the other in this process.
        address: of a running Ray cluster; None starts Ray on this machine.
        cpus_per_run: cores, and threads, of a run.
        gpus_per_run: GPUs of a run, a fraction shares one; None takes one if there is any. With Ray only.
        max_parallel: runs at once; None takes as many as fit.
        device: without Ray: auto, cpu, cuda or cuda:N.
        retries: how often a failed run is tried again.
        keep_weights: keep the weights of every round.
        share: train round 0 once for all strategies that share it.
        loggers: of Ray Tune, which get every round too: tensorboard, mlflow, wandb.
        callback: told about progress.

    Raises:
        AlbenchError: the suite, its data or its storage cannot be used. A run that fails is in the outcome instead.
    """
    callback = callback or SuiteCallback()
    if not use_ray and (max_parallel or 1) > 1:
        raise ConfigError(f"--no-ray does one run at a time, got --jobs {max_parallel}: leave one of them out")
    plan = plan_suite(
        suite, settings=settings, seeds=seeds, dataset=dataset, only=only, storage=storage, callback=callback
    )
    write_suite_manifest(plan.suite, plan.runs, plan.storage)
    left, failures = plan.left, {}
    done = [run.done(plan.storage.local) for run in left]
    try:
        if left and use_ray:
            from albench.benchmarks.ray_runner import RayOptions, connected, run_on_ray

            with connected(address, cpus_per_run, gpus_per_run) as (cluster, resources):
                parallel = min(max_parallel or cluster.slots, cluster.slots, len(left))
                callback.on_start(left, done, parallel, f"on Ray{cluster.dashboard}")
                options = RayOptions(resources, parallel, retries, keep_weights, share, loggers)
                failures = run_on_ray(left, plan.location, options, callback)
        elif left:
            execution = Execution(choose_device(device, cpus_per_run), keep_weights, share)
            callback.on_start(left, done, 1, "in this process")
            failures = run_sequentially(left, plan.storage, execution, callback, retries=retries)
    finally:
        callback.on_end()
    for run in left:
        plan.storage.fetch(run.folder)
    return SuiteOutcome(plan.storage.local, plan.chosen, failures)
