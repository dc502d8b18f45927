"""The command `albench tune`: a search over the options of a strategy, on the validation cases."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albench.cli.options import DataRoot, Dataset, Network, Settings, Strategy
from albench.registry import DEFAULT_NETWORK

if TYPE_CHECKING:
    from rich.console import Console

    from albench.benchmarks.runner import SuiteOutcome
    from albench.benchmarks.search import Search, Trial


def tune(
    strategy: Strategy,
    dataset: Dataset,
    over: Annotated[
        list[str],
        typer.Option(
            help="An option and its values: weight=log:0.1..10, views=[1,3,5] or batch_norm. May be repeated."
        ),
    ],
    network: Network = DEFAULT_NETWORK,
    metric: Annotated[
        str, typer.Option(help="val_dice_volume, val_dice_foreground, val_dice_slice or val_nsd.")
    ] = "val_dice_volume",
    samples: Annotated[int, typer.Option(min=1, max=10_000, help="Combinations of options to try.")] = 16,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Runs per combination, scored by their mean.")] = 1,
    data_root: DataRoot = None,
    assignments: Settings = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search; by default runs/tune/STRATEGY-DATASET.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="File of the result, for albench run --tuned; by default tuned.json in --out.")
    ] = None,
    cpus_per_run: Annotated[int, typer.Option(min=1, max=1024, help="Cores and threads of a run.")] = 1,
    gpus_per_run: Annotated[
        float | None,
        typer.Option(
            min=0, help="GPUs of a run, 0.5 shares one; by default measured on this machine, 1 with --address."
        ),
    ] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Parallel runs; by default as many as fit.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: auto or HOST:PORT.")] = None,
    use_ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Run on Ray, or one run after another.")] = True,
    device: Annotated[str, typer.Option(help="Without Ray: auto, cpu or cuda:1.")] = "auto",
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Continue runs that other code has written.")
    ] = False,
) -> None:
    """Search the options of a strategy on validation cases. The test cases are not used."""
    from albench.console import say, starting, terminal
    from albench.settings import parse_settings

    console = terminal()
    with starting(console):
        from albench.benchmarks.progress import SearchProgress
        from albench.benchmarks.runner import run_suite
        from albench.benchmarks.search import Search, parse_space, plan_search, ranked, tuned_options
        from albench.runs.documents import write_document
    what = Search(
        strategy,
        dataset,
        parse_space(over),
        parse_settings(assignments, data_root),
        metric,
        range(seeds),
        samples,
        network,
    )
    folder, table = out or Path("runs/tune") / what.name, SearchProgress(console)
    outcome = run_suite(
        plan_search(what, folder, table),
        use_ray=use_ray,
        address=address,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        max_parallel=max_parallel,
        device=device,
        retries=0,
        accept_code_change=accept_code_change,
        callback=table,
    )
    if len(outcome.finished) + len(outcome.failures) < len(outcome.runs):
        raise KeyboardInterrupt
    trials = ranked(what, outcome)
    tuned, path = tuned_options(what, outcome, trials), save or folder / "tuned.json"
    _print_trials(console, what, trials, outcome)
    write_document(path, tuned)
    where = ["--data-root", str(data_root)] if data_root else []
    common = [part for text in assignments or [] if not text.startswith("strategy.") for part in ("--set", text)]
    chosen = [] if network == DEFAULT_NETWORK else ["--network", network]
    command = [
        "albench",
        "run",
        "--strategy",
        strategy,
        "--dataset",
        dataset,
        *chosen,
        "--tuned",
        str(path),
        *where,
        *common,
    ]
    say(console, f"tuned: {path}")
    say(console, f"next: {shlex.join(command)}")


def _print_trials(console: Console, what: Search, trials: list[Trial], outcome: SuiteOutcome) -> None:
    """Print the score of every trial, and why runs failed."""
    from albench.benchmarks.search import in_words
    from albench.console import new_table, say

    table = new_table(*what.space, f"mean {what.metric}")
    for trial in trials:
        values = [in_words(trial.options[name]) for name in what.space]
        table.add_row(*values, "failed" if trial.score is None else f"{trial.score:.4f}")
    console.print(table)
    for run in outcome.runs:
        if run.folder in outcome.failures:
            text = f"FAILED {run.name}: {outcome.failures[run.folder]}"
            say(console, text)
