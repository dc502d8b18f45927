"""The command `albench report`: tables, figures and a page from the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from albench.reports import Results


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of a suite, one with runs at any depth, a bundle, or the name of published results: see "
            "albench results."
        ),
    ] = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the report; FOLDER/report if not given, report-NAME of a bundle."),
    ] = None,
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
    power: Annotated[
        float | None,
        typer.Option(help="Also print how many seeds this difference in AUBC needs, such as 0.01, and write it down."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="Another folder of runs, a bundle or the name of published results, whose methods are compared with "
            "these."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Write no report but a bundle into this folder: all numbers of the runs, to be published. It has no "
            "images and no masks."
        ),
    ] = None,
    numbers_license: Annotated[
        str | None, typer.Option("--license", help="License of the numbers in the bundle, such as CC BY 4.0.")
    ] = None,
    data_license: Annotated[str | None, typer.Option(help="License of the data that they were measured on.")] = None,
    commit: Annotated[
        str | None, typer.Option(help="Commit of albench that computed the runs, if they do not record it.")
    ] = None,
) -> None:
    """Write tables, figures and a page from the records of runs.

    With --bundle it writes these records instead, to publish them. Only finished and undamaged runs are reported; all
    others are named.
    """
    from albench.console import terminal, waiting
    from albench.errors import ConfigError

    stated = {"--license": numbers_license, "--data-license": data_license, "--commit": commit}
    for option, value in stated.items():
        if value is not None and bundle is None:
            raise ConfigError(f"{option} must be of a bundle, got '{value}': name its folder with --bundle")
    if bundle is not None and compare is not None:
        raise ConfigError(f"a bundle must be of one folder, got --compare {compare}: leave it out")
    with waiting(terminal(), f"reading the runs in {folder}"):
        from albench.bundles import Publication
        from albench.reports import load, publish
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
            power=power,
        )
    for sentence in (*results.collection.notes, *(problem.sentence for problem in results.collection.problems)):
        typer.echo(sentence, err=True)
    with waiting(terminal(), "writing tables and figures" if bundle is None else "writing the bundle"):
        if bundle is not None:
            written = publish(results, bundle, Publication(numbers_license, data_license, commit))
        else:
            collection = results.collection
            usual = Path(f"report-{collection.name}") if collection.bundled else folder / "report"
            written = write(results, (out or usual) / results.metric.folder, wanted, places=places)
    if results.planned is not None:
        _print_power(results)
    for path in written:
        typer.echo(f"wrote {path}")


def _print_power(results: Results) -> None:
    """The table of every group, with what its columns mean; one sentence where no deviation is known."""
    from rich.markup import escape

    from albench.console import new_table, say, terminal
    from albench.reports.tables.power import about_power, power_table

    console = terminal()
    for group in results.groups:
        table = power_table(results, group)
        if table is not None:
            titles = [escape(column.title) for column in table.columns]
            shown = new_table(*titles, title=escape(table.title), numbers=titles[2:])
            for row in table.rows:
                shown.add_row(*(escape(cell.plain) for cell in row.cells))
            console.print(shown)
        for sentence in about_power(results, group):
            say(console, sentence)
