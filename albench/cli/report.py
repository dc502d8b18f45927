"""The command `albench report`: tables, figures and a page from the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="A suite's folder, or one with runs anywhere below.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Where to write. FOLDER/report if not given.")] = None,
    wanted: Annotated[str, typer.Option("--format", help="latex, markdown, csv, html or all.")] = "all",
    metric: Annotated[
        str,
        typer.Option(
            help="dice_slice, dice_foreground, dice_volume, hd95, empty_slice_fpr, or one with val_ before it."
        ),
    ] = "dice_slice",
    baseline: Annotated[
        str | None, typer.Option(help="The method that the others are compared with, random if not given.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="How far below the reference is almost there. 0.01, or 1 mm, if not given."),
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="Another folder of runs, to stand beside these.")] = None,
) -> None:
    """Write tables, figures and a page about runs, from their records alone."""
    from albench.reports import load
    from albench.reports.report import write

    results = load(folder, metric=metric, baseline=baseline, margin=margin, compare=compare)
    for problem in results.collection.problems:
        typer.echo(problem.sentence, err=True)
    for path in write(results, out or folder / "report", wanted):
        typer.echo(f"wrote {path}")
