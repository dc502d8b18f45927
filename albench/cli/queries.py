"""The command `albench queries`: which slices a run asked for, and where they lie in the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def queries(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file instead of the terminal.")] = None,
    nifti: Annotated[
        Path | None,
        typer.Option(
            help="Write a volume per training case to this folder, on the grid of its file: 0 where a slice was never "
            "asked, 1 in the initial slices, 2 in those of the first query, and so on."
        ),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the data are now, if they were moved.")] = None,
) -> None:
    """Print which slices a run queried, and where they lie.

    Without the data, the index in the file and the millimeters stay empty.
    """
    from rich.markup import escape

    from albench.console import decimal, new_table, say, terminal
    from albench.errors import ConfigError, DataError
    from albench.files import atomic_write
    from albench.opened_run import COLUMNS, open_run
    from albench.spreadsheet import csv_text

    run, console = open_run(folder, data_root), terminal()
    missing = ""
    try:
        grids = run.file_grids()
    except (ConfigError, DataError) as error:
        if nifti is not None or data_root is not None:
            raise
        grids, missing = {}, f"index and mm are left out, because the data are not there: {error}"
    found = run.queried(grids)
    if csv is not None:
        rows = [[getattr(one, name) for name in COLUMNS] for one in found]
        text = csv_text([COLUMNS, *[["" if value is None else value for value in row] for row in rows]])
        with atomic_write(csv) as file:
            file.write(text.encode())
        say(console, f"wrote {csv}")
    else:
        table = new_table(*COLUMNS, numbers=[name for name in COLUMNS if name != "case"])
        for one in found:
            where = ("-" if one.index is None else str(one.index), decimal(one.mm, 1))
            score = "-" if one.score is None else f"{one.score:.4g}"
            what = (str(one.round), str(one.rank), escape(one.case), str(one.position), score)
            table.add_row(*what, *where)
        console.print(table)
    for path in run.write_nifti(nifti) if nifti is not None else ():
        say(console, f"wrote {path}")
    if missing:
        say(console, missing)
