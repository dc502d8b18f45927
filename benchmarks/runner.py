"""Running a suite: plan it, do the runs that are left on Ray or in this process, and return the outcome."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from albench.benchmarks.plan import PlannedRun, choose, plan_runs, write_suite_manifest
from albench.benchmarks.runs_per_gpu import GpuRuns
from albench.benchmarks.sequential import run_sequentially
from albench.benchmarks.storage import Storage, StorageLocation, open_storage
from albench.benchmarks.suite import Suite, load_suite
from albench.benchmarks.suite_callback import SuiteCallback
from albench.errors import ConfigError, StoreError
from albench.run_session import Execution
from albench.runs.code_identity import changed_code, check_code
from albench.runs.reader import RunReader
from albench.runs.scores import restore_scores
from albench.training.device import choose_device


@dataclass(frozen=True)
class SuitePlan:
    """A suite with the folders and settings of its runs.

    Attributes:
        suite: the suite.
        runs: all its runs.
        chosen: the runs to do, selected by `only`.
        location: where runs are kept.
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

    def changed_code(self) -> dict[tuple[str, ...], list[PlannedRun]]:
        """{what of the code is another one now: the chosen runs that it began, which are not continued with this}."""
        changed: dict[tuple[str, ...], list[PlannedRun]] = {}
        for run in self.chosen:
            with suppress(StoreError):  # which the run says when it is continued
                reader = RunReader(self.storage.local / run.folder)
                code = tuple(changed_code(reader, run.plugins)) if reader.started else ()
                if code:
                    changed.setdefault(code, []).append(run)
        return changed

    def on_gpus(self, cpus_per_run: int, max_parallel: int | None, *, graphs: bool) -> GpuRuns:
        """The runs that are left, as they share the GPUs of this machine; it must have one."""
        left = len(self.left)
        return GpuRuns(self.runs, self.storage.local, cpus_per_run, min(max_parallel or left, left), graphs)


@dataclass(frozen=True)
class SuiteOutcome:
    """The outcome of a suite.

    Attributes:
        folder: of the suite; `albench.reports.load` reads it.
        runs: the chosen runs.
        failures: {folder of a run: error} of the runs that failed.
    """

    folder: Path
    runs: Sequence[PlannedRun]
    failures: Mapping[str, str]

    @property
    def finished(self) -> list[PlannedRun]:
        """The finished runs."""
        return [run for run in self.runs if run.folder not in self.failures and run.finished(self.folder)]


def plan_suite(
    suite: str,
    *,
    settings: Mapping[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | Sequence[str] | None = None,
    network: str | None = None,
    only: Sequence[str] | None = None,
    storage: Path | str = "runs",
    callback: SuiteCallback | None = None,
    published: bool = False,
) -> SuitePlan:
    """Check every run of a suite, prepare its data, and find the runs that are left.

    Args:
        suite: a name, or the path of a YAML file.
        settings: values by dotted name for all runs, such as {"training.epochs": 30}.
        seeds: replace those of the suite.
        dataset: one or several that replace those of the suite, or some of these by name.
        network: likewise.
        only: labels to run now; None runs all.
        storage: folder of the runs, or a URI such as s3://bucket/runs.
        callback: called with the progress.
        published: as `plan_runs`, to know what the runs would cost.

    Raises:
        AlbenchError: the suite, its data or its storage cannot be used.
    """
    listed = load_suite(suite, settings=settings, seeds=seeds, dataset=dataset, network=network)
    return plan_loaded(listed, only=only, storage=storage, callback=callback, published=published)


def plan_loaded(
    listed: Suite,
    *,
    only: Sequence[str] | None = None,
    storage: Path | str = "runs",
    callback: SuiteCallback | None = None,
    published: bool = False,
) -> SuitePlan:
    """As `plan_suite`, for a suite that is not read from a file."""
    callback = callback or SuiteCallback()
    where = str(storage) if "://" in str(storage) else str(Path(storage).absolute())
    location = StorageLocation(where, listed.name)
    callback.on_wait("looking at the files of the data")
    try:
        runs = plan_runs(
            listed, callback.on_preparation, workers=None, on_notice=callback.on_notice, published=published
        )
        plan = SuitePlan(listed, runs, choose(runs, only), location, open_storage(location))
        for run in runs:
            plan.storage.fetch(run.folder)
    except BaseException:
        callback.on_end()
        raise
    callback.on_plan(listed.name, plan.chosen, plan.left)
    return plan


def run_suite(
    suite: SuitePlan | str,
    *,
    use_ray: bool = True,
    address: str | None = None,
    cpus_per_run: int = 1,
    gpus_per_run: float | None = None,
    max_parallel: int | None = None,
    device: str = "auto",
    retries: int = 2,
    keep_weights: bool = False,
    share: bool = True,
    graphs: bool = True,
    accept_code_change: bool = False,
    audit: bool = False,
    loggers: Sequence[str] = (),
    callback: SuiteCallback | None = None,
) -> SuiteOutcome:
    """Run a suite, or continue it. Finished rounds are not repeated.

    A script should call it under `if __name__ == "__main__":`, because data are prepared in several processes.

    Args:
        suite: a plan, see `plan_suite`; or the name or the YAML file of a suite that is run as it is, in `runs`.
        use_ray: run on Ray; otherwise one run after another in this process.
        address: of a running Ray cluster; None starts Ray on this machine.
        cpus_per_run: cores and threads of a run.
        gpus_per_run: GPUs of a run on Ray, a fraction shares one; None is one on a cluster with GPUs, and on the GPUs
            of this machine what a measurement finds (`albench.benchmarks.runs_per_gpu`).
        max_parallel: maximum number of runs at the same time; None is as many as fit.
        device: without Ray: auto, cpu, cuda or cuda:N.
        retries: how often a failed run is tried again.
        keep_weights: keep the weights of every round.
        share: train round 0 once for all strategies that share it.
        graphs: replay training passes as CUDA graphs on a GPU.
        accept_code_change: continue runs that other code has written, and write that down.
        audit: audit every query, see `albench.audit`.
        loggers: of Ray Tune that also receive every round: tensorboard, mlflow, wandb.
        callback: called with the progress.

    Returns:
        The outcome. It lists the runs that failed; their errors are not raised.

    Raises:
        AlbenchError: the suite, its data or its storage cannot be used, or without Ray the GPU stopped.
    """
    callback = callback or SuiteCallback()
    if not use_ray and (max_parallel or 1) > 1:
        raise ConfigError(f"--no-ray does one run at a time, got {max_parallel} in parallel: leave one of them out")
    plan = suite if isinstance(suite, SuitePlan) else plan_suite(suite, callback=callback)
    write_suite_manifest(plan.suite, plan.runs, plan.storage, callback.on_notice)
    left = plan.left
    finished = [run for run in plan.chosen if run not in left]
    for run in finished:
        restore_scores(RunReader(plan.storage.local / run.folder))
    failures = {} if accept_code_change else _of_other_code(finished, plan.storage)
    for run in finished:
        if run.folder in failures:
            callback.on_failure(run, failures[run.folder])
    done = [run.done(plan.storage.local) for run in left]
    try:
        if left and use_ray:
            from albench.benchmarks.ray_runner import RayOptions, connected, run_on_ray

            if gpus_per_run is None and finds_sharing(address):
                sharing = plan.on_gpus(cpus_per_run, max_parallel, graphs=graphs).choose(callback)
                gpus_per_run = 1 / sharing if sharing > 1 else None
            callback.on_wait("starting Ray" if address is None else f"connecting to Ray at {address}")
            with connected(address, cpus_per_run, gpus_per_run) as (cluster, resources):
                parallel = min(max_parallel or cluster.slots, cluster.slots, len(left))
                callback.on_start(left, done, parallel, f"on Ray{cluster.dashboard}")
                _tell_earlier_rounds(plan, left, callback)
                options = RayOptions(
                    resources, parallel, retries, keep_weights, share, graphs, accept_code_change, audit, loggers
                )
                failures |= run_on_ray(left, plan.location, options, callback)
        elif left:
            chosen = choose_device(device, cpus_per_run)
            execution = Execution(
                chosen, keep_weights, share, graphs, accept_code_change=accept_code_change, audit=audit
            )
            callback.on_start(left, done, 1, "in this process")
            _tell_earlier_rounds(plan, left, callback)
            failures |= run_sequentially(left, plan.storage, execution, callback, retries=retries)
    finally:
        callback.on_end()
    for run in left:
        plan.storage.fetch(run.folder)
    return SuiteOutcome(plan.storage.local, plan.chosen, failures)


def _of_other_code(finished: Sequence[PlannedRun], storage: Storage) -> dict[str, str]:
    """{folder: error} of finished runs whose plugins had other code, which would have other results now."""
    failures = {}
    for run in finished:
        try:
            check_code(RunReader(storage.local / run.folder), run.plugins)
        except StoreError as error:
            failures[run.folder] = str(error)
    return failures


def _tell_earlier_rounds(plan: SuitePlan, left: Sequence[PlannedRun], callback: SuiteCallback) -> None:
    """Tell of every method that is left the finished rounds of the run that has most of them."""
    root = plan.storage.local
    for method in dict.fromkeys((run.spec.group, run.spec.label) for run in left):
        own = [run for run in plan.runs if (run.spec.group, run.spec.label) == method]
        longest = max(own, key=lambda run: run.done(root))
        records = longest.records(root)
        if records:
            callback.on_earlier_rounds(longest, records)


def finds_sharing(address: str | None) -> bool:
    """Whether runs use the GPUs of this machine and of no cluster, so that a measurement can say how many share one."""
    on_cluster = address is not None or "RAY_ADDRESS" in os.environ
    return not on_cluster and torch.cuda.is_available()
