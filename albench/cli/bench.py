"""The command `albench bench`: suites of runs, on one or several machines."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from albench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from albench.benchmarks.runner import SuiteOutcome, SuitePlan

_WHAT = "Changes to the suite"
_HOW = "Execution"


class PanelCommand(TyperCommand):
    """A command whose help groups the options by `rich_help_panel`, also without rich."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # vendored classes
        """Write one section per panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            default = "Arguments" if param.param_type_name == "argument" else "Options"
            if record is not None:
                panels.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)


class Logger(str, Enum):
    """Loggers of Ray Tune that can also receive every round."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


def bench(
    suite: Annotated[
        str | None, typer.Argument(help="A suite or a YAML file; without it, the suites are listed.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Print what is left and its estimated cost, then exit. The data need not be there."
        ),
    ] = False,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="With --plan: time a few steps on this machine, or take recorded times of others; by default timed if "
            "the data are there.",
        ),
    ] = None,
    storage: Annotated[str, typer.Option(help="Folder of the runs, or a URI such as s3://bucket/runs.")] = "runs",
    only: Annotated[list[str] | None, typer.Option(help="Run only this label. May be repeated.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting for all runs: training.epochs=30.", rich_help_panel=_WHAT),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data; short for --set data.root=...", rich_help_panel=_WHAT)
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Another dataset (albench list datasets), or one of the suite's. May be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Another network (albench list networks).", rich_help_panel=_WHAT)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Other seeds: their number, or a list such as 0,3,7.", rich_help_panel=_WHAT)
    ] = None,
    cpus_per_run: Annotated[
        int, typer.Option(min=1, max=1024, help="Cores and threads of a run.", rich_help_panel=_HOW)
    ] = 1,
    gpus_per_run: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs of a run, 0.5 shares one; by default measured on this machine, 1 with --address.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    max_parallel: Annotated[
        int | None,
        typer.Option(
            "--max-parallel", "--jobs", min=1, help="Parallel runs; by default as many as fit.", rich_help_panel=_HOW
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto or HOST:PORT.", rich_help_panel=_HOW)
    ] = None,
    use_ray: Annotated[
        bool, typer.Option("--ray/--no-ray", help="Run on Ray, or one run after another.", rich_help_panel=_HOW)
    ] = True,
    device: Annotated[str, typer.Option(help="Without Ray: auto, cpu or cuda:1.", rich_help_panel=_HOW)] = "auto",
    retries: Annotated[int, typer.Option(min=0, help="How often to retry a failed run.", rich_help_panel=_HOW)] = 2,
    keep_weights: Annotated[bool, typer.Option(help="Keep the weights of every round.", rich_help_panel=_HOW)] = False,
    share: Annotated[
        bool, typer.Option(help="Train round 0 once for all strategies that share it.", rich_help_panel=_HOW)
    ] = True,
    graphs: Annotated[
        bool, typer.Option(help="Replay training passes as CUDA graphs, on a GPU.", rich_help_panel=_HOW)
    ] = True,
    accept_code_change: Annotated[
        bool,
        typer.Option("--accept-code-change", help="Continue runs that other code has written.", rich_help_panel=_HOW),
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Audit every query, see albench audit.", rich_help_panel=_HOW)
    ] = False,
    log: Annotated[
        list[Logger] | None,
        typer.Option(help="Also send every round to this logger. May be repeated.", rich_help_panel=_HOW),
    ] = None,
) -> None:
    """Run a suite: strategies x seeds. The same command continues an interrupted suite."""
    from albench.console import starting, terminal

    console = terminal()
    with starting(console):
        from albench.benchmarks.progress import ProgressTable
        from albench.benchmarks.runner import finds_sharing, plan_suite, run_suite
        from albench.run_session import Execution
        from albench.settings import parse_settings
        from albench.training.device import choose_device
    if suite is None:
        from albench.cli.suites import suite_table

        console.print(suite_table())
        return
    if probe is not None and not plan:
        option = "--probe" if probe else "--no-probe"
        raise ConfigError(f"{option} must be given with --plan, whose times it chooses: add --plan, or leave it out")
    settings, chosen_seeds, table = parse_settings(assignments, data_root), _seeds(seeds), ProgressTable(console)
    planned = plan_suite(
        suite,
        settings=settings,
        seeds=chosen_seeds,
        dataset=dataset or None,
        network=network,
        only=only,
        storage=storage,
        callback=table,
        published=plan,
    )
    if plan:
        from albench.cli.plan import print_plan

        execution = Execution(choose_device(device, cpus_per_run), keep_weights, share, graphs)
        shared = use_ray and gpus_per_run is None and finds_sharing(address) and execution.device.type == "cuda"
        gpus = planned.on_gpus(cpus_per_run, max_parallel, graphs=graphs) if shared else None
        print_plan(console, planned, execution, probe, max_parallel, gpus)
        _print_changed_code(console, planned)
        return
    outcome = run_suite(
        planned,
        use_ray=use_ray,
        address=address,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        max_parallel=max_parallel,
        device=device,
        retries=retries,
        keep_weights=keep_weights,
        share=share,
        graphs=graphs,
        accept_code_change=accept_code_change,
        audit=audit,
        loggers=[logger.value for logger in log or []],
        callback=table,
    )
    _print_outcome(console, outcome)


def _print_changed_code(console: Console, plan: SuitePlan) -> None:
    """Print which runs other code has written."""
    from albench.console import say

    for code, runs in plan.changed_code().items():
        say(
            console,
            f"code changed: {'; '.join(run.name for run in runs)} began with other code of {', '.join(code)}: use that "
            "code, another --storage, or --accept-code-change, which writes the change down",
        )


def _print_outcome(console: Console, outcome: SuiteOutcome) -> None:
    """Print how many runs finished and which failed. Exit code 1 if one failed, 130 if the suite was interrupted."""
    from albench.console import say

    finished = len(outcome.finished)
    lines = [f"{finished} of {len(outcome.runs)} runs are finished, {len(outcome.failures)} failed"]
    for run in outcome.runs:
        if run.folder in outcome.failures:
            lines.append(f"FAILED {run.name}, round {run.done(outcome.folder)}: {outcome.failures[run.folder]}")
    if finished:
        lines.append(f"next: albench report {outcome.folder}")
    for line in lines:
        say(console, line)
    if finished + len(outcome.failures) < len(outcome.runs):
        raise KeyboardInterrupt
    if outcome.failures:
        raise typer.Exit(1)


def _seeds(text: str | None) -> Sequence[int] | None:
    """`5` gives the seeds 0 to 4, `0,3,7` the seeds 0, 3 and 7. Raises ConfigError."""
    from albench.config import MOST_SEED

    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if not 0 <= min(numbers) <= max(numbers) <= MOST_SEED or numbers == [0]:
        raise ConfigError(f"--seeds must be a number of seeds or a list such as 0,3,7, got '{text}': give --seeds 5")
    return range(numbers[0]) if len(numbers) == 1 else numbers
