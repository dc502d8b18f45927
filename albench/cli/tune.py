"""The command `albench tune`: a search over the options of a strategy, on the validation cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tune(
    strategy: Annotated[str, typer.Option(help="A name (albench list strategies), FILE.py:Class or module:Class.")],
    dataset: Annotated[str, typer.Option(help="A name (albench list datasets), FILE.py:Class or module:Class.")],
    over: Annotated[
        list[str],
        typer.Option(
            help="An option and its values: weight=log:0.1..10, views=[1,3,5] or batch_norm. May be repeated."
        ),
    ],
    metric: Annotated[str, typer.Option(help="val_dice, val_dice_volume or val_dice_foreground.")] = "val_dice",
    samples: Annotated[int, typer.Option(min=1, help="Combinations of options to try.")] = 16,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per combination, scored by their mean.")] = 1,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data; short for --set data.root=...")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, such as training.epochs=30. May be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs of the search.")] = Path("runs/tune"),
    cpus_per_run: Annotated[int, typer.Option(min=1, help="Cores and threads of a run.")] = 1,
    gpus_per_run: Annotated[
        float | None, typer.Option(min=0, help="GPUs of a run, 0.5 shares one; 1 by default if there is a GPU.")
    ] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Parallel runs; by default as many as fit.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: auto or HOST:PORT.")] = None,
) -> None:
    """Search the options of a strategy on validation cases. The test cases are not used."""
    from albench.console import new_table, terminal
    from albench.resolve import resolve
    from albench.settings import parse_settings

    console = terminal()
    settings = parse_settings(assignments, data_root)
    with console.status("starting"):
        from albench.benchmarks.plan import with_absolute_paths
        from albench.benchmarks.ray_runner import connected
        from albench.benchmarks.search import Search, parse_space, search
    own, data, settings = with_absolute_paths(strategy, dataset, settings)
    what = Search(own, data, parse_space(over), settings, metric, range(seeds), samples)
    what.domains()  # report an error in the search, or in the data prepared below, before Ray starts
    resolve(own, data, settings=settings)
    with connected(address, cpus_per_run, gpus_per_run) as (cluster, resources):
        at_once = min(max_parallel or cluster.slots, cluster.slots, samples)
        console.print(f"{samples} samples, {at_once} in parallel on Ray{cluster.dashboard}", highlight=False)
        with console.status("searching"):
            found = search(what, out.absolute(), resources, at_once)
    table = new_table(*what.space, f"mean {metric}")
    for sample in found:
        values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in (sample.options[name] for name in what.space)]
        table.add_row(*values, "failed" if sample.score is None else f"{sample.score:.4f}")
    console.print(table)
    best = [*(f"strategy.{name}={value}" for name, value in found[0].options.items()), *(assignments or [])]
    where = [f"--data-root {data_root}"] if data_root else []
    command = " ".join(
        [f"albench run --strategy {strategy} --dataset {dataset}", *where, *(f"--set {text}" for text in best)]
    )
    console.print(f"best: {command}", markup=False, highlight=False, soft_wrap=True)
