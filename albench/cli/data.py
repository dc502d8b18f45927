"""The commands `albench data ...`: download, prepare, summarize, check, list and delete data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from albench.data import Dataset, Prepared, PreparedSet, Problem

data = typer.Typer(name="data", help="Prepare, summarize and check data.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(help="A name (albench data list), FILE.py:Class or module:Class.")]
_Root = Annotated[Path | None, typer.Option(help="Where the data are; short for --set data.root=...")]
_Settings = Annotated[list[str] | None, typer.Option("--set", help="An option: 'data.labels=[1]'. May be repeated.")]
_Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Processes that read volumes; chosen by default.")]


@data.command("prepare")
def prepare_data(
    name: _Name,
    download: Annotated[bool, typer.Option("--download", help="Download the public archive if it is missing.")] = False,
    data_root: _Root = None,
    assignments: _Settings = None,
    workers: _Workers = None,
) -> None:
    """Read all volumes once and store them for runs. After an interruption, the same command continues."""
    from albench.errors import counted

    console = _console()
    dataset = _dataset(name, data_root, assignments)
    archive = dataset.archive() if download else None
    if archive is not None:
        from albench.console import bar
        from albench.data.download import fetch

        with bar(console, f"downloading {archive.url}", in_bytes=True) as show:
            fetch(archive, show)
    prepared = _prepared(dataset, console, workers)
    total, channels, height, width = prepared.images.shape
    size = f"{height} x {width}" + (f" with {channels} channels" if channels > 1 else "")
    counts = f"{counted(len(prepared.cases), 'case')}, {counted(total, 'slice')} of {size}"
    console.print(f"{dataset.title}: {counts}", highlight=False)
    _print_notes(dataset, console)


@data.command("info")
def describe_data(
    name: _Name,
    data_root: _Root = None,
    assignments: _Settings = None,
    workers: _Workers = None,
    sheet: Annotated[Path | None, typer.Option(help="The picture to write; NAME.png by default.")] = None,
) -> None:
    """Print a summary of a dataset, and write a picture of cases with their classes in three views."""
    from rich.markup import escape
    from rich.table import Table

    from albench.cli.contact_sheet import contact_sheet
    from albench.cli.dataset_summary import LABEL_COLUMNS, label_rows, numbers
    from albench.console import new_table, say
    from albench.data import oddities, set_warnings

    console = _console()
    dataset = _dataset(name, data_root, assignments)
    prepared = _prepared(dataset, console, workers)
    table = Table.grid(padding=(0, 2))
    for group, facts in numbers(dataset, prepared).items():
        table.add_row(f"[bold]{group}[/bold]")
        for what, value in facts.items():
            table.add_row(f"  {escape(what)}", escape(value))
    console.print(table)
    labels = new_table(*LABEL_COLUMNS, numbers=LABEL_COLUMNS[2:])
    for row in label_rows(dataset, prepared):
        labels.add_row(*map(escape, row.cells()))
    console.print(labels)
    _print_notes(dataset, console)
    warnings = set_warnings(
        dataset.title, prepared.classes, prepared.summaries, size=dataset.size, intensities=dataset.intensities
    )
    for warning in (*warnings, *oddities(prepared.cases, prepared.read)):
        console.print(f"warning: {warning}", highlight=False)
    path = sheet or Path(f"{dataset.title}.png")
    contact_sheet(prepared, path, str(dataset.hashed_options().get("axis", "axial")))
    say(console, f"picture: {path}")


@data.command("check")
def check_data(
    path: Annotated[
        str | None, typer.Argument(help="A folder, or a CSV, YAML or JSON file that lists volumes.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="The layout of the files: a dataset with data.root.")] = "folder",
    assignments: _Settings = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Instead of files, compare all prepared data with their checksums.")
    ] = False,
) -> None:
    """List every problem of every file and of all together. Exit code 1 if a run would reject the data."""
    from rich.markup import escape

    from albench.console import new_table, waiting
    from albench.data import cache_folder, cache_problems
    from albench.errors import ConfigError, counted

    console = _console()
    if (path is None) != cache:
        raise ConfigError("either a path or --cache must be given: name the data, or leave the path out")
    with waiting(console, f"reading all files of {path or 'the cache'}"):
        problems, values = (list(cache_problems()), ()) if path is None else _problems(path, dataset, assignments)
    top = path or cache_folder()
    table = new_table("file", "problem", "")
    for problem in problems:
        file = os.path.relpath(problem.file, top) if os.path.exists(problem.file) else problem.file  # noqa: PTH110
        table.add_row(escape(file), escape(problem.sentence), "rejected" if problem.serious else "warning")
    if problems:
        console.print(table)
    serious = sum(problem.serious for problem in problems)
    for sentence in values:
        console.print(sentence, highlight=False)
    warnings = len(problems) - serious
    console.print(f"{counted(serious, 'problem')}, {counted(warnings, 'warning')}", highlight=False)
    if serious:
        raise typer.Exit(1)


@data.command("list-files")
def list_files(
    path: Annotated[str, typer.Argument(help="A folder, or a CSV, YAML or JSON file that lists volumes.")],
    images: Annotated[
        list[str] | None, typer.Option(help="Which files are images, 'pre/FLAIR.nii.gz'. Repeat it for channels.")
    ] = None,
    masks: Annotated[
        list[str] | None, typer.Option(help="Which files are masks: 'wmh.nii.gz'. May be repeated.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="The layout of the files: a dataset with data.root.")] = "folder",
    assignments: _Settings = None,
) -> None:
    """Print images, masks and patients as a list in CSV, which --data-root reads. Complete what names do not tell."""
    from albench.resolve import make_dataset
    from albench.settings import parse_settings
    from albench.spreadsheet import csv_text

    rows = make_dataset(dataset, parse_settings(assignments, Path(path))).file_rows(images or (), masks or ())
    of_masks = dict.fromkeys(column for row in rows for column in row if column not in ("image", "patient"))
    columns = ["image", *of_masks, "patient"]
    typer.echo(csv_text([columns, *([row.get(column, "") for column in columns] for row in rows)]), nl=False)
    open_rows = sum(not row["image"] or not any(row.get(column) for column in of_masks) for row in rows)
    typer.echo(_next_step(len(rows), open_rows), err=True)


@data.command("list")
def list_data() -> None:
    """List the datasets and the prepared sets in the cache."""
    from rich.markup import escape

    from albench import registry
    from albench.cli.catalog import COLUMNS, rows
    from albench.console import new_table, say, size_in_words
    from albench.data import cache_folder, prepared_sets

    console = _console()
    table = new_table(*COLUMNS[registry.DATASETS])
    for cells in rows(registry.DATASETS):
        table.add_row(*cells)
    console.print(table)
    sets = new_table("prepared", "cases", "slices", "size", "key", "options that differ")
    listed = [found for found in prepared_sets() if found.cases is not None or found.marked]
    for found in listed:
        counts = ("interrupted", "") if found.cases is None else (str(found.cases), str(found.slices))
        alike = [other for other in listed if other.title == found.title]
        sets.add_row(
            escape(found.title), *counts, size_in_words(found.size), found.key, escape(_differing(found, alike))
        )
    if sets.row_count:
        console.print(sets)
    say(console, f"cache: {cache_folder()}")


@data.command("clean")
def clean_data(
    title: Annotated[str | None, typer.Argument(help="A title or key of albench data list; all by default.")] = None,
    downloads: Annotated[bool, typer.Option("--downloads", help="Delete what albench downloaded too.")] = False,
) -> None:
    """Delete prepared data, which can be prepared again. Nothing is deleted that does not bear the mark of albench."""
    from albench.console import say, size_in_words
    from albench.data import downloaded, prepared_sets, remove
    from albench.errors import ConfigError

    console = _console()
    found = list(prepared_sets())
    chosen = [prepared for prepared in found if title in (None, prepared.title, prepared.key)]
    if title is not None and not chosen:
        titles = ", ".join(sorted({prepared.title for prepared in found})) or "nothing is prepared"
        raise ConfigError(f"only prepared data can be deleted, '{title}' is not prepared: choose from {titles}")
    removal = remove([*(prepared.folder for prepared in chosen), *(downloaded() if downloads else ())])
    for path in removal.busy:
        say(console, f"'{path}' is being made by another process and is kept")
    if removal.unmarked:
        say(console, _unmarked(removal.unmarked))
    console.print(f"freed {size_in_words(removal.freed)}", highlight=False)


def _dataset(name: str, root: Path | None, assignments: list[str] | None) -> Dataset:
    from albench.resolve import make_dataset
    from albench.settings import parse_settings

    return make_dataset(name, parse_settings(assignments, root))


def _prepared(dataset: Dataset, console: Console, workers: int | None) -> Prepared:
    from albench.console import bar, say
    from albench.data import prepare

    with bar(console, "preparing the data", before="looking at the files of the data") as show:
        return prepare(dataset, show, workers, lambda text: say(console, text))


def _problems(path: str, name: str, assignments: list[str] | None) -> tuple[list[Problem], Sequence[str]]:
    """Every problem of the data at `path`, read as the dataset `name`, and what was read."""
    from albench.data import check_options
    from albench.errors import counted
    from albench.resolve import make_dataset
    from albench.settings import parse_settings

    settings = parse_settings(assignments, Path(path))
    checked = make_dataset(name, settings)
    check_options(checked)
    problems = list(checked.problems())
    if not any(problem.serious for problem in problems):
        problems += _split_problems(checked, settings)
    files, cases = checked.files_read()
    read = f"read {counted(files, 'file')} of {counted(cases, 'case')}"
    pairing = [f"{told}; albench data list-files prints all pairs"] if (told := checked.pairing()) else []
    return problems, (*pairing, *checked.checked_values(), *([read] if files else []))


def _split_problems(dataset: Dataset, settings: Mapping[str, object]) -> Iterator[Problem]:
    """The error of the split in a run with these settings, or what is left out of it."""
    from albench.config import Protocol, build
    from albench.data import Problem, split_dataset
    from albench.errors import ConfigError
    from albench.settings import by_section

    given = by_section(dataset.defaults())["protocol"] | by_section(settings)["protocol"]
    protocol = build(Protocol, given, "protocol")
    try:
        split = split_dataset(dataset, protocol, protocol.split_seed)
    except ConfigError as error:
        yield Problem(dataset.title, str(error))
        return
    left_out = [case for case in dataset.cases() if not dataset.has_mask(case) and case not in split.train]
    if left_out:
        yield Problem(
            dataset.title,
            f"a case without mask must have a patient outside of the validation and test set, {len(left_out)} such as "
            f"'{left_out[0]}' have not and are left out: give them masks to use them",
            serious=False,
        )


def _next_step(rows: int, open_rows: int) -> str:
    """What to do with a list of files."""
    if open_rows:
        return (
            f"{open_rows} of {rows} lines lack an image or a mask: put both into one line, then use the list with "
            "--data-root"
        )
    from albench.errors import counted

    cases = counted(rows, "case")
    return f"{cases}: check which mask and which patient each image has, then use the list with --data-root"


def _differing(prepared: PreparedSet, alike: Sequence[PreparedSet]) -> str:
    """The options of a prepared set that are not the same in all of its title, which may differ in their files only."""
    from albench.settings import as_setting

    others = [other.options for other in alike if other.options]
    return ", ".join(
        f"data.{name}={as_setting(value)}"
        for name, value in prepared.options.items()
        if any(other.get(name, ...) != value for other in others)
    )


def _unmarked(paths: Sequence[Path]) -> str:
    """The sentence about what is not deleted."""
    from albench.errors import few

    named = few([f"'{path}'" for path in paths])
    return (
        f"only what bears the mark of albench is deleted, {named} has none or was changed since and is kept: delete it "
        "by hand if an earlier version made it or you need it no more"
    )


def _print_notes(dataset: Dataset, console: Console) -> None:
    for note in dataset.notes():
        console.print(note, highlight=False)


def _console() -> Console:
    from albench.console import terminal

    return terminal()
