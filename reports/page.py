"""The page: one HTML file with summary, tables, figures, runs and provenance, which needs no network."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import albench
from albench.files import atomic_write
from albench.reports.audits import audited, audits_of
from albench.reports.captions import (
    annotation_errors,
    classes_together,
    devices_of,
    floors,
    left_out,
    named_left_out,
    not_ranked,
    on_working_grid,
    provenance,
    undrawn,
    validation_labels,
    versions_of,
    warnings,
)
from albench.reports.confidence import underconfident
from albench.reports.figures.figures import draw
from albench.reports.figures.style import WIDTH, Drawing, as_svg, write_drawing
from albench.reports.group import Group
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
        caption: its sentences.
        svg: its element.
        part: its width, as a part of the page's.
    """

    name: str
    title: str
    caption: tuple[str, ...]
    svg: Markup
    part: float


def write_page(results: Results, tables: Sequence[Table], out: Path, places: Places | None = None) -> Path:
    """Write index.html, and every figure as PDF and PNG into figures/.

    What is true of all tables and figures of a group is said once, in the summary.

    Args:
        results: see `albench.reports.load`.
        tables: of the page.
        out: folder of the report.
        places: where slices lie in their files, see `albench.reports.queried_slices`.
    """
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    page = (
        _environment()
        .get_template("page.html.jinja")
        .stream(
            results=results,
            version=albench.__version__,
            study=summarize_study(results),
            summaries={group.name: summarize(results, group).sentences for group in results.groups},
            warnings={group.name: [*warnings(group), *underconfident(group)] for group in results.groups},
            left_out=named_left_out(results.collection),
            said=set(_said_in_summary(results)),
            axes="; ".join(dict.fromkeys(results.metric_in(group).axis for group in results.groups)),
            sources={group.name: " ".join(_sources(results, group)) for group in results.groups},
            tables=tables,
            pictures=map(partial(_written, folder=folder), draw(results)),
            queries=queried_slices(results, places),
            provenance={group.name: dict(_provenance(group)) for group in results.groups},
            runs={group.name: details_of_runs(results, group) for group in results.groups},
            round_titles=ROUND_TITLES,
            case_titles=CASE_TITLES,
        )
    )
    path = out / "index.html"
    with _without_records_in_collections(), atomic_write(path) as file:
        page.dump(file, "utf-8")  # each figure is drawn when its place is reached, and forgotten after it
    return path


def _written(drawing: Drawing, folder: Path) -> Picture:
    write_drawing(drawing, folder)
    svg = Markup(as_svg(drawing))  # matplotlib has escaped its text
    return Picture(drawing.name, drawing.title, drawing.caption, svg, drawing.figure.get_figwidth() / WIDTH)


@contextmanager
def _without_records_in_collections() -> Iterator[None]:
    """Let the collection of garbage skip what exists now: in the records of many runs each takes a second."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("albench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sortable": _sortable}
    return environment


def _said_in_summary(results: Results) -> Iterator[str]:
    """Sentences of captions that the summary has too."""
    yield from left_out(results.collection)
    for group in results.groups:
        yield from (*_sources(results, group), *warnings(group))
        yield from (*not_ranked(group), floors(group), *left_out(results.collection, group.name))


def _sources(results: Results, group: Group) -> list[str]:
    """What values and shares of a group are of, and where its runs come from."""
    return [
        *classes_together(results, group),
        *undrawn(group),
        *on_working_grid(group),
        *annotation_errors(group),
        provenance(results, group)[0],
        *audited(group),
    ]


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
