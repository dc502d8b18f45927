"""The command `albench report`: tables, figures and a page from the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a suite, or one with runs at any depth.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Where to write the report; FOLDER/report if not given.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Report only this method, by its label, beside the reference. May be repeated."),
    ] = None,
    wanted: Annotated[str, typer.Option("--format", help="latex, markdown, csv, html or all.")] = "all",
    metric: Annotated[
        str,
        typer.Option(
            help="dice_volume, dice_foreground, dice_slice, hd95, nsd or empty_slice_fpr; with val_ before it on the "
            "validation cases. All but dice_volume go into a folder of that name in that of the report. Tables 1 "
            "and 2 of the STAR paper always have its dice_slice."
        ),
    ] = "dice_volume",
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class whose metrics are reported; all together if not given.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Method that the others are compared with; random if not given.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Distance to the reference that counts as close; 0.01, or 1 mm for hd95, if not given."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Another folder of runs, whose methods are compared with these.")
    ] = None,
) -> None:
    """Write tables, figures and a page from the records of runs.

    Only finished and undamaged runs are reported; all others are named.
    """
    from albench.console import terminal, waiting

    with waiting(terminal(), f"reading the runs in {folder}"):
        from albench.reports import load
        from albench.reports.report import write
        from albench.stored_data import places

        results = load(
            folder,
            metric=metric,
            class_name=class_name,
            baseline=baseline,
            margin=margin,
            compare=compare,
            only=only or None,
        )
    for sentence in (*results.collection.notes, *(problem.sentence for problem in results.collection.problems)):
        typer.echo(sentence, err=True)
    with waiting(terminal(), "writing tables and figures"):
        written = write(results, (out or folder / "report") / results.metric.folder, wanted, places=places)
    for path in written:
        typer.echo(f"wrote {path}")
