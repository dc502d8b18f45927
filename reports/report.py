"""Writing a report: its tables, numbers, figures and page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from albench.errors import ConfigError, StoreError
from albench.files import write_text
from albench.reports.results import Results
from albench.reports.tables.attribution import attribution_table
from albench.reports.tables.best_baseline import best_baseline_table
from albench.reports.tables.classes import class_table
from albench.reports.tables.costs import cost_table
from albench.reports.tables.efficiency import efficiency_table
from albench.reports.tables.latex import all_as_latex, as_latex, as_latex_document
from albench.reports.tables.paper import ablation_table, main_table
from albench.reports.tables.power import power_table
from albench.reports.tables.printed import paper_protocol, printed_table1, printed_table2
from albench.reports.tables.pseudo_labels import pseudo_label_table
from albench.reports.tables.significance import difference_table, rank_table
from albench.reports.tables.study import study_area_table, study_rank_table
from albench.reports.tables.table import Table, without_empty_columns
from albench.reports.tables.variance import variance_table
from albench.reports.tables.writers import as_csv, as_markdown
from albench.reports.written_files import replace_part
from albench.spreadsheet import cell

if TYPE_CHECKING:
    from albench.reports.queried_slices import Places

Format = Literal["latex", "markdown", "csv", "html", "all"]
FORMATS: tuple[Format, ...] = ("latex", "markdown", "csv", "html", "all")


def write(results: Results, out: Path, wanted: Format = "all", *, places: Places | None = None) -> list[Path]:
    """Write a report.

    Args:
        results: see `albench.reports.load`.
        out: its folder, created if it is missing. The files of a former report in the same format are replaced or
            removed, all others stay.
        wanted: `all`, or one format of the tables; `html` is the page with its figures.
        places: where slices lie in their files, for the page; see `albench.reports.queried_slices`.

    Returns:
        The files to open first.

    Raises:
        ConfigError: the format is unknown.
        StoreError: the folder cannot be written.
    """
    if wanted not in FORMATS:
        raise ConfigError(f"--format must be one of {', '.join(FORMATS)}, got '{wanted}'")
    tables = list(all_tables(results))
    try:
        out.mkdir(parents=True, exist_ok=True)
        return list(_write(results, tables, out, wanted, places))
    except OSError as error:
        raise StoreError(
            f"a report must be written to a folder, the system says '{error.strerror}' of '{error.filename}': choose "
            "another --out"
        ) from error


def all_tables(results: Results) -> Iterator[Table]:
    """Every table of a report, without columns that have no value."""
    return map(without_empty_columns, _all_tables(results))


def _all_tables(results: Results) -> Iterator[Table]:
    if results.study is not None:
        yield study_rank_table(results, results.study)
        yield study_area_table(results, results.study)
    for group in results.groups:
        ablation = ablation_table(results, group)
        if ablation is None or len(ablation.rows) < len(group.methods):
            yield main_table(results, group)
        if ablation is not None:
            yield ablation
        yield efficiency_table(results, group)
        optional = (
            class_table(results, group),
            *(difference_table(results, group, kind) for kind in ("baseline", "best rival")),
            best_baseline_table(results, group),
            power_table(results, group),
            variance_table(results, group),
            attribution_table(results, group),
            pseudo_label_table(results, group),
        )
        yield from (table for table in optional if table is not None)
        yield cost_table(results, group)
    ranks = rank_table(results)
    if ranks is not None:
        yield ranks
    printed = {protocol.title for group in results.groups if (protocol := paper_protocol(results, group))}
    for title in sorted(printed):
        yield printed_table1(title)
    if "BraTS" in printed:
        yield printed_table2()


def _write(results: Results, tables: list[Table], out: Path, wanted: Format, places: Places | None) -> Iterator[Path]:
    writers: dict[str, Callable[[Results, Sequence[Table], Path], list[Path]]] = {
        "latex": _write_latex,
        "markdown": _write_markdown,
        "csv": _write_csv,
        "html": partial(_write_page, places=places),
    }
    for part, write_part in writers.items():
        if wanted in (part, "all"):
            files = write_part(results, tables, out)
            replace_part(out, part, files)
            yield files[0].parent if part == "csv" else files[0]


def _write_latex(results: Results, tables: Sequence[Table], out: Path) -> list[Path]:
    texts = {"tables": all_as_latex(results.collection.name, tables)}
    texts |= {"tables-document": as_latex_document(results.collection.name)}
    texts |= {table.name: as_latex(table) for table in tables}
    return _written(out / "latex", {f"{name}.tex": text for name, text in texts.items()})


def _write_markdown(results: Results, tables: Sequence[Table], out: Path) -> list[Path]:
    return _written(out, {"tables.md": "\n".join(map(as_markdown, tables))})


def _write_csv(results: Results, tables: Sequence[Table], out: Path) -> list[Path]:
    numbers = {
        "curves": results.curves(),
        "efficiency": results.efficiency(),
        "classes": results.classes(),
        "differences": results.differences(),
        "best-baseline": results.best_baseline(),
        "attribution": results.attribution(),
        "pseudo-labels": results.pseudo_labels(),
        "variances": results.variances(),
        "ranks": results.ranks(),
        "costs": results.costs(),
    }
    if results.planned is not None:
        numbers["power"] = results.power()
    if results.study is not None:
        numbers |= {
            "dataset-ranks": results.ranks_over_datasets(),
            "dataset-pairs": results.pairs_over_datasets(),
            "penalties": results.penalties(),
        }
    texts = {f"{table.name}.csv": as_csv(table) for table in tables}
    for name, frame in numbers.items():
        cells = {column: frame[column].map(cell) for column in frame.select_dtypes(exclude="number")}
        texts[f"numbers-{name}.csv"] = frame.assign(**cells).to_csv(index=False)
    return _written(out / "csv", texts)


def _write_page(results: Results, tables: Sequence[Table], out: Path, *, places: Places | None) -> list[Path]:
    from albench.reports.page import write_page

    return write_page(results, tables, out, places)


def _written(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts by the names of their files, and give their paths."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
