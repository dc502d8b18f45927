"""The command `albench bench`: suites of runs, on one machine or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from albench.benchmarks.estimate import Estimate
    from albench.benchmarks.plan import PlannedRun
    from albench.benchmarks.storage import Storage
    from albench.loop import Execution

_WHAT = "Another suite"
_HOW = "Where and how"


class Logger(str, Enum):
    """Where Ray Tune can send the rounds beside."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


def bench(
    suite: Annotated[str | None, typer.Argument(help="A suite, or a YAML file. Lists them if left out.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is left and what it takes, and leave.")] = False,
    storage: Annotated[str, typer.Option(help="Where runs are kept: a folder, or a URI: s3://bucket/runs.")] = "runs",
    only: Annotated[list[str] | None, typer.Option(help="Run this label only. Can be repeated.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting for all runs: training.epochs=30.", rich_help_panel=_WHAT),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data; short for --set data.root=...", rich_help_panel=_WHAT)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Another dataset (albench list datasets).", rich_help_panel=_WHAT)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Other seeds: how many, or a list: 0,3,7.", rich_help_panel=_WHAT)
    ] = None,
    cpus_per_run: Annotated[int, typer.Option(min=1, help="Cores, and threads, of a run.", rich_help_panel=_HOW)] = 1,
    gpus_per_run: Annotated[
        float | None, typer.Option(min=0, help="GPUs of a run; 0.5 shares one. 1 if any.", rich_help_panel=_HOW)
    ] = None,
    max_parallel: Annotated[
        int | None,
        typer.Option("--max-parallel", "--jobs", min=1, help="Runs at once. All that fit.", rich_help_panel=_HOW),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto, or HOST:PORT.", rich_help_panel=_HOW)
    ] = None,
    use_ray: Annotated[
        bool, typer.Option("--ray/--no-ray", help="On Ray, or one run after the other.", rich_help_panel=_HOW)
    ] = True,
    device: Annotated[str, typer.Option(help="Without Ray: auto, cpu or cuda:1.", rich_help_panel=_HOW)] = "auto",
    retries: Annotated[int, typer.Option(min=0, help="Times to try a failed run again.", rich_help_panel=_HOW)] = 2,
    keep_weights: Annotated[bool, typer.Option(help="Keep the weights of every round.", rich_help_panel=_HOW)] = False,
    share: Annotated[
        bool, typer.Option(help="Train round 0 once for all that train it alike.", rich_help_panel=_HOW)
    ] = True,
    log: Annotated[
        list[Logger] | None, typer.Option(help="Send rounds there too. Can be repeated.", rich_help_panel=_HOW)
    ] = None,
) -> None:
    """Run a suite: strategies x seeds. The same command again does what is left."""
    from albench.console import bar, terminal

    console = terminal()
    with console.status("starting"):
        from albench.benchmarks.plan import choose, plan_runs, write_manifest
        from albench.benchmarks.progress import ProgressTable
        from albench.benchmarks.sequential import compute_here
        from albench.benchmarks.storage import Place, open_storage
        from albench.benchmarks.suite import load_suite
        from albench.loop import Execution
        from albench.resolve import parse_settings
        from albench.training.device import choose_device
    if suite is None:
        _print_suites(console)
        return
    settings = parse_settings(assignments, data_root)
    listed = load_suite(suite, settings=settings, seeds=_seeds(seeds), dataset=dataset)
    with bar(console, "preparing the data, once") as show:
        runs = plan_runs(listed, show, workers=None)
    place = Place(storage if "://" in storage else str(Path(storage).absolute()), listed.name)
    kept = open_storage(place)
    for run in runs:
        kept.fetch(run.folder)
    chosen = choose(runs, only)
    left = [run for run in chosen if not run.finished(kept.local)]
    console.print(f"{listed.name}: {len(chosen)} runs, {len(chosen) - len(left)} are finished already", highlight=False)
    if plan:
        execution = Execution(choose_device(device, cpus_per_run), keep_weights, share)
        _print_plan(console, left, kept, execution, max_parallel)
        return
    write_manifest(listed, runs, kept)
    failures: dict[str, str] = {}
    if left and use_ray:
        from albench.benchmarks.ray_runner import Options, compute, connected

        with connected(address, cpus_per_run, gpus_per_run) as (cluster, resources):
            at_once = min(max_parallel or cluster.slots, cluster.slots, len(left))
            console.print(f"{at_once} at once on Ray{cluster.dashboard}", highlight=False)
            loggers = [logger.value for logger in log or []]
            with ProgressTable(console, left, kept, at_once) as progress_table:
                compute(left, place, Options(resources, at_once, retries, keep_weights, share, loggers), progress_table)
                failures = progress_table.failures
    elif left:
        if (max_parallel or 1) > 1:
            raise ConfigError(f"--no-ray does one run at a time, got --jobs {max_parallel}: leave one of them out")
        execution = Execution(choose_device(device, cpus_per_run), keep_weights, share)
        with ProgressTable(console, left, kept, 1) as progress_table:
            compute_here(left, kept, execution, progress_table, retries=retries)
            failures = progress_table.failures
    for run in left:
        kept.fetch(run.folder)
    _print_summary(console, chosen, kept, failures)


def _print_suites(console: Console) -> None:
    from albench.benchmarks.suite import load_suite, suite_names
    from albench.console import new_table

    table = new_table("suite", "what it is for", "dataset", "runs")
    for name in suite_names():
        suite = load_suite(name)
        table.add_row(name, suite.about, suite.runs[0].dataset, str(len(suite.runs)))
    console.print(table)


def _print_plan(
    console: Console, runs: Sequence[PlannedRun], kept: Storage, execution: Execution, at_once: int | None
) -> None:
    """List what is left with what it takes, found by a timed probe on this machine."""
    from datetime import datetime, timedelta

    import torch

    from albench.benchmarks.estimate import Estimate, estimate
    from albench.cli.run_progress import size_in_words
    from albench.console import new_table
    from albench.runs.cost import hardware
    from albench.training.device import max_parallel_runs

    with console.status("probing") as status:
        found = estimate(runs, kept.local, execution, lambda name: status.update(f"probing {name}"))
    table = new_table("strategy", "runs", "begun", "rounds left", "time", "disk")
    for label, taken in found.items():
        own = [run for run in runs if run.spec.label == label]
        done = [run.done(kept.local) for run in own]
        left = sum(run.rounds for run in own) - sum(done)
        table.add_row(
            label, str(len(own)), str(sum(map(bool, done))), str(left), _time(taken), size_in_words(taken.disk, 0)
        )
    console.print(table)
    total = sum(found.values(), Estimate((0, 0), 0))
    where = hardware(execution.device)
    at_once = min(at_once or max_parallel_runs(execution.device, torch.get_num_threads()), max(1, len(runs)))
    ends = [datetime.now() + timedelta(seconds=seconds / at_once) for seconds in total.seconds]
    unit = "GPU" if execution.device.type == "cuda" else "CPU"
    first, last = (f"{end:%a %d %b %H:%M}" for end in ends)
    console.print(
        f"{len(runs)} runs: {_time(total)} of {unit} time on {where['device']} with {where['threads']} threads a run, "
        f"{size_in_words(total.disk, 0)}; {at_once} at once end between {first} and {last}",
        highlight=False,
        soft_wrap=True,
    )


def _time(taken: Estimate) -> str:
    from albench.cli.run_progress import duration

    fewest, most = (duration(s) if s < 3600 else f"{s / 3600:.1f} hours" for s in taken.seconds)
    return fewest if fewest == most else f"{fewest} to {most}"


def _print_summary(console: Console, runs: Sequence[PlannedRun], kept: Storage, failures: Mapping[str, str]) -> None:
    """Say what became of the runs. Exit code 1 if one failed, 130 if the rest was stopped."""
    finished = sum(run.finished(kept.local) for run in runs)
    lines = [f"{finished} of {len(runs)} runs are finished, {len(failures)} failed"]
    for run in runs:
        if run.folder in failures:
            lines.append(f"FAILED {run.name}, round {run.done(kept.local)}: {failures[run.folder]}")
    if finished:
        lines.append(f"next: albench report {kept.local}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if finished + len(failures) < len(runs):
        raise KeyboardInterrupt
    if failures:
        raise typer.Exit(1)


def _seeds(text: str | None) -> list[int] | None:
    """`5` is 0 to 4, `0,3,7` are those."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0 or numbers == [0]:
        raise ConfigError(f"--seeds must be a number of seeds or a list such as 0,3,7, got '{text}': give --seeds 5")
    return list(range(numbers[0])) if len(numbers) == 1 else numbers
