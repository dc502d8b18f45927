"""What `albench bench --plan` prints: what is left of a suite, and the time and disk space that it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from albench.benchmarks.cost_sources import Records
    from albench.benchmarks.estimate import Estimate, Probe
    from albench.benchmarks.plan import PlannedRun
    from albench.benchmarks.runner import SuitePlan
    from albench.benchmarks.runs_per_gpu import GpuRuns
    from albench.run_session import Execution


def print_plan(
    console: Console,
    plan: SuitePlan,
    execution: Execution,
    probe: bool | None,
    at_once: int | None,
    gpus: GpuRuns | None,
) -> None:
    """Print what is left and what it costs.

    Args:
        console: to print on.
        plan: the suite. Data that are not there are planned by their published size.
        execution: how the runs are computed on this machine.
        probe: time them here, on their data or on made-up slices; false takes recorded times of other machines; None
            times them if the data are there.
        at_once: maximum number of runs at the same time.
        gpus: how runs share GPUs, if that was measured; None is one run per GPU.
    """
    from albench.benchmarks.cost_sources import Records
    from albench.console import say, waiting

    if not plan.left:
        say(console, "nothing is left to do")
        return
    with_data = not any(run.published for run in plan.left)
    if with_data if probe is None else probe:
        times = _timed(console, plan, execution, None if with_data else Records())
        _print_table(console, plan, {"time": times})
        _print_total(console, plan, times, execution, at_once, gpus)
    else:
        records = Records()
        with waiting(console, "planning"):
            recorded = _recorded(plan, records, keep_weights=execution.keep_weights)
        _print_table(console, plan, recorded)
        _print_recorded(console, plan, records, recorded)
    _print_sizes(console, plan, timed=probe is True)


Estimates = Mapping[str, "Estimate"]
"""The cost of what is left, by label."""


def _timed(console: Console, plan: SuitePlan, execution: Execution, records: Records | None) -> Estimates:
    """From a probe on this machine: of strategies on their data, or with `records` of networks on made-up slices."""
    from albench.benchmarks.cost_sources import MadeUpProbe
    from albench.benchmarks.estimate import estimate, probe
    from albench.console import waiting

    with waiting(console, "probing") as tell:

        def on_probe(name: str) -> None:
            tell(f"probing {name}")

        def of_its_data(run: PlannedRun) -> Probe:
            on_probe(run.name)
            return probe(run.spec, execution)

        cost_of: Callable[[PlannedRun], Probe] = of_its_data
        if records:
            cost_of = MadeUpProbe(execution, records, on_probe).cost
        return estimate(plan.left, plan.storage.local, cost_of, keep_weights=execution.keep_weights)


def _recorded(plan: SuitePlan, records: Records, *, keep_weights: bool) -> Mapping[str, Estimates]:
    """{device: estimates} from the records."""
    from albench.benchmarks.estimate import estimate

    return {
        costs.device: estimate(
            plan.left,
            plan.storage.local,
            lambda run, costs=costs: records.cost(run, costs),
            keep_weights=keep_weights,
        )
        for costs in records.devices
    }


def _print_table(console: Console, plan: SuitePlan, times: Mapping[str, Estimates]) -> None:
    """A row for every label, with a column of times for every device."""
    from albench.console import new_table, size_in_words

    root = plan.storage.local
    known = not any(run.published for run in plan.left)  # runs are found by the content of their data
    table = new_table("strategy", "runs", *(["started"] if known else []), "rounds left", *times, "disk")
    for label, any_device in next(iter(times.values())).items():
        own = [run for run in plan.left if run.spec.label == label]
        done = [run.done(root) for run in own]
        started = [sum(map(bool, done))] if known else []
        counts = len(own), *started, sum(run.rounds for run in own) - sum(done)
        columns = [_time(estimates[label]) for estimates in times.values()]
        table.add_row(label, *map(str, counts), *columns, size_in_words(any_device.disk, 0))
    console.print(table)


def _print_total(
    console: Console, plan: SuitePlan, times: Estimates, execution: Execution, at_once: int | None, gpus: GpuRuns | None
) -> None:
    """The time of all runs on this machine, and when they end if they start now."""
    from datetime import datetime, timedelta

    import torch

    from albench.benchmarks.estimate import Estimate
    from albench.console import say, size_in_words
    from albench.errors import counted
    from albench.runs.cost import device_name
    from albench.training.device import max_parallel_runs

    total = sum(times.values(), Estimate((0, 0), 0))
    threads = torch.get_num_threads()
    per_gpu, speedup = gpus.expected() if gpus else (1, 1.0)
    at_once = min(at_once or per_gpu * max_parallel_runs(execution.device, threads), max(1, len(plan.left)))
    speed = at_once / per_gpu * speedup
    ends = [datetime.now() + timedelta(seconds=seconds / speed) for seconds in total.seconds]
    unit = "GPU" if execution.device.type == "cuda" else "CPU"
    first, last = (f"{end:%a %d %b %H:%M}" for end in ends)
    say(
        console,
        f"{counted(len(plan.left), 'run')}: {_time(total)} of {unit} time on {device_name(execution.device)} with "
        f"{counted(threads, 'thread')} per run, {size_in_words(total.disk, 0)}; {at_once} in parallel finish "
        + (f"at {first}" if first == last else f"between {first} and {last}"),
    )


def _print_recorded(console: Console, plan: SuitePlan, records: Records, recorded: Mapping[str, Estimates]) -> None:
    """The time of all runs on the devices of the records, and where it is from."""
    from albench.benchmarks.estimate import Estimate
    from albench.console import say, size_in_words
    from albench.errors import counted

    runs, nothing = counted(len(plan.left), "run"), Estimate((0, 0), 0)
    for costs in records.devices:
        times = recorded[costs.device]
        known = {label: taken for label, taken in times.items() if not math.isnan(taken.seconds[0])}
        left_out = [label for label in times if label not in known]
        if not known:
            say(console, f"on {costs.device} nothing was measured with a network of this size")
            continue
        without = f", without {', '.join(left_out)}, which nobody has measured there" if left_out else ""
        total = _time(sum(known.values(), nothing))
        say(console, f"{runs}, one after another on {costs.device}: {total}{without} ({costs.source})")
    disk = sum((taken.disk for taken in next(iter(recorded.values())).values()), 0.0)
    say(console, f"disk space of the runs: {size_in_words(disk, 0)}")
    say(
        console,
        "times are extrapolated from training and inference per slice in benchmarks/speed/records, from the fewest to "
        "the most optimizer steps; --probe times this machine",
    )


def _print_sizes(console: Console, plan: SuitePlan, *, timed: bool) -> None:
    """By what the data were planned that are not there, and how much disk space they need."""
    from albench.console import say, size_in_words
    from albench.errors import counted

    published = {run.config.title: run.published for run in plan.left if run.published}
    for title, size in published.items():
        channels, height, width = size.shape
        prepared = size.slices * height * width * (2 * channels + 1)  # images in two bytes, masks in one
        archive = f", {size_in_words(size.archive)} to download and as much unpacked" if size.archive else ""
        say(
            console,
            f"{title} is not here: planned with {counted(size.cases, 'case')} and {counted(size.slices, 'slice')} of "
            f"{height} x {width} ({size.source}){', timed on made-up slices' if timed else ''}; it takes "
            f"{size_in_words(prepared)} prepared{archive}",
        )


def _time(taken: Estimate) -> str:
    """The range of an estimate in words, such as 3m20s to 1.5 hours."""
    from albench.console import duration

    if math.isnan(taken.seconds[0]):
        return "not measured"
    fewest, most = (duration(s) if s < 3600 else f"{s / 3600:,.{_decimals(s)}f} hours" for s in taken.seconds)
    return fewest if fewest == most else f"{fewest.removesuffix(' hours')} to {most}"


def _decimals(seconds: float) -> int:
    """Of its hours: one, from 100 hours on none."""
    return 1 if seconds < 360_000 else 0
