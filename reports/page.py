"""The page: one HTML file with summary, tables, figures, runs and provenance, which needs no network."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import albench
from albench.files import atomic_write
from albench.reports.audits import audits_of
from albench.reports.captions import (
    devices_of,
    named_left_out,
    validation_labels,
    versions_of,
    warnings,
)
from albench.reports.confidence import underconfident
from albench.reports.figures.figures import draw
from albench.reports.figures.style import WIDTH, Drawing, as_svg, write_drawing
from albench.reports.group import Group
from albench.reports.page_captions import Place, ShortCaption, about_groups, said_before, shortened
from albench.reports.queried_slices import Places, queried_slices
from albench.reports.results import Results
from albench.reports.run_details import CASE_TITLES, ROUND_TITLES, details_of_runs, settings_text
from albench.reports.study_summary import summarize_study
from albench.reports.summary import summarize
from albench.reports.tables.table import Table


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: of its files.
        title: what it shows.
        caption: what the page has not said before.
        svg: its element.
        part: its width, as a part of the page's.
    """

    name: str
    title: str
    caption: ShortCaption
    svg: Markup
    part: float


def write_page(results: Results, tables: Sequence[Table], out: Path, places: Places | None = None) -> list[Path]:
    """Write index.html, and every figure as PDF and PNG into figures/; give their paths.

    What is true of all tables and figures is said once, in the summary, with links to what was written before: the
    folders of runs, the files of figures, and those of tables, if they are there.

    Args:
        results: see `albench.reports.load`.
        tables: of the page.
        out: folder of the report.
        places: where slices lie in their files, see `albench.reports.queried_slices`.
    """
    folder = out / "figures"
    path = out / "index.html"
    files = [path]
    folder.mkdir(exist_ok=True)
    said, (common, about) = said_before(results), about_groups(results)
    page = (
        _environment(out)
        .get_template("page.html.jinja")
        .stream(
            results=results,
            version=albench.__version__,
            study=summarize_study(results),
            summaries={group.name: summarize(results, group).sentences for group in results.groups},
            warnings={group.name: [*warnings(group), *underconfident(group)] for group in results.groups},
            left_out=named_left_out(results.collection),
            common=common,
            about=about,
            axes="; ".join(dict.fromkeys(results.metric_in(group).axis for group in results.groups)),
            tables=list(_with_captions(tables, said)),
            files={table.name: _files(out, table.name) for table in tables},
            pictures=_pictures(draw(results), folder, said, files),
            queries=queried_slices(results, places),
            provenance={group.name: dict(_provenance(group)) for group in results.groups},
            runs={group.name: details_of_runs(results, group) for group in results.groups},
            round_titles=ROUND_TITLES,
            case_titles=CASE_TITLES,
        )
    )
    with _without_records_in_collections(), atomic_write(path) as file:
        page.dump(file, "utf-8")  # each figure is drawn when its place is reached, and forgotten after it
    return files


def _with_captions(tables: Sequence[Table], said: set[str]) -> Iterator[tuple[Table, ShortCaption]]:
    seen: dict[tuple[str, str], Place] = {}
    for table in tables:
        yield table, shortened(table.caption, (table.name, table.title), said, seen)


def _pictures(drawings: Iterator[Drawing], folder: Path, said: set[str], files: list[Path]) -> Iterator[Picture]:
    """Write every figure when its place is reached, and add its files to `files`."""
    seen: dict[tuple[str, str], Place] = {}
    for drawing in drawings:
        files += write_drawing(drawing, folder)
        svg = Markup(as_svg(drawing))  # matplotlib has escaped its text
        caption = shortened(drawing.caption, (f"figure-{drawing.name}", drawing.title), said, seen)
        yield Picture(drawing.name, drawing.title, caption, svg, drawing.figure.get_figwidth() / WIDTH)
        del drawing


def _files(out: Path, name: str) -> dict[str, str]:
    """{format: link} of the files of a table."""
    links = {"LaTeX": f"latex/{name}.tex", "CSV": f"csv/{name}.csv"}
    return {kind: link for kind, link in links.items() if (out / link).exists()}


@contextmanager
def _without_records_in_collections() -> Iterator[None]:
    """Let the collection of garbage skip what exists now: in the records of many runs each takes a second.

    Where the caller has had it skip something, nothing is changed, since what is skipped cannot be told apart later.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _environment(out: Path) -> Environment:
    environment = Environment(
        loader=PackageLoader("albench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sortable": _sortable, "link": partial(_link, out)}
    return environment


def _link(out: Path, path: Path) -> str:
    """The address of a file or folder, as seen from the page."""
    return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())


def _sortable(value: float) -> str:
    """A number for the script of the page; empty for NaN, which sorts last."""
    return "" if math.isnan(value) else "1e99" if math.isinf(value) else repr(float(value))


def _provenance(group: Group) -> Iterator[tuple[str, str]]:
    """Names and values, for a list."""
    config, split = group.some_run.reader.config, group.some_run.reader.split
    yield "protocol digest", group.some_run.protocol
    yield "data", f"{config.title}, key {config.data_key}"
    yield "classes", ", ".join(group.classes)
    yield "cases", f"{len(split.train)} train, {len(split.val)} val, {len(split.test)} test"
    yield "validation labels", validation_labels(group)
    yield "hardware", ", ".join(devices_of(group.runs))
    yield "versions", ", ".join(versions_of(group.runs))
    yield "audited", str(audits_of(*group.runs))
    commits = {process.environment.commit for own in group.runs for process in own.reader.processes}
    yield "commits", ", ".join(sorted(commit for commit in commits if commit)) or "unknown"
    for name, section in (
        ("dataset", config.dataset),
        ("protocol", config.protocol),
        ("training", config.training),
        ("network", config.network),
    ):
        yield name, settings_text(asdict(section))
