"""The page: one file that opens from disk, without network, with summary, tables, figures, runs and provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from albench.reports.captions import devices_of, left_out, versions_of, warnings
from albench.reports.costs import PHASES, seconds
from albench.reports.figures.figures import draw
from albench.reports.figures.style import WIDTH, Drawing, as_svg, write_drawing
from albench.reports.group import Group
from albench.reports.protocol import protocol_digest
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.summary import summarize
from albench.reports.tables.table import Table
from albench.runs.store import Record

_METRICS = {"dice_slice": 3, "dice_foreground": 3, "dice_volume": 3, "hd95": 2}  # decimals


@dataclass(frozen=True)
class Picture:
    """A figure as it stands on the page.

    Attributes:
        drawing: the figure.
        svg: its element.
        part: its width, as a part of a whole one.
    """

    drawing: Drawing
    svg: Markup
    part: float


def write_page(results: Results, tables: Sequence[Table], out: Path) -> Path:
    """Write index.html, and beside it every figure as PDF and PNG in figures/."""
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    pictures = []
    for drawing in draw(results):
        write_drawing(drawing, folder)
        svg = Markup(as_svg(drawing))  # matplotlib has escaped its text
        pictures.append(Picture(drawing, svg, float(drawing.figure.get_figwidth()) / WIDTH))
    page = _environment().get_template("page.html.jinja")
    text = page.render(
        results=results,
        version=version("albench"),
        summaries={group.name: summarize(results, group).sentences for group in results.groups},
        warnings={group.name: warnings(group) for group in results.groups},
        left_out=left_out(results.collection),
        tables=tables,
        pictures=pictures,
        provenance={group.name: dict(_provenance(group)) for group in results.groups},
        runs={group.name: _runs(results, group) for group in results.groups},
        metrics=list(_METRICS),
    )
    path = out / "index.html"
    path.write_text(text, encoding="utf-8")
    return path


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


def _sortable(value: float) -> str:
    """A number for the page's script; nothing if there is none, so that it sorts last."""
    return "" if math.isnan(value) else "1e99" if math.isinf(value) else repr(float(value))


def _provenance(group: Group) -> Iterator[tuple[str, str]]:
    run = group.some_run
    config = run.config
    yield "protocol digest", protocol_digest(config)
    yield "data", f"{config['title']}, key {config['data_key']}"
    parts = ", ".join(f"{len(run.split[part])} {part}" for part in ("train", "val", "test"))
    yield "cases", parts
    yield "hardware", ", ".join(devices_of(group.runs))
    yield "versions", ", ".join(versions_of(group.runs))
    commits = sorted({str(own.environment["commit"]) for own in group.runs if own.environment.get("commit")})
    yield "commits", ", ".join(commits) or "not known"
    for section in ("dataset", "protocol", "training", "network"):
        yield section, _settings(config[section])


def _settings(section: Mapping[str, object]) -> str:
    flat = {key: value for key, value in section.items() if key not in ("spec", "code")}
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in flat.items())


def _runs(results: Results, group: Group) -> list[Record]:
    """What the page shows of every run."""
    return [_run(results, label, run) for label, run in _with_reference(group)]


def _with_reference(group: Group) -> Iterator[tuple[str, Run]]:
    for label, runs in group.methods.items():
        yield from ((label, run) for run in sorted(runs, key=lambda one: one.seed))
    if group.borrowed is None:
        yield from ((run.label, run) for run in group.reference)


def _run(results: Results, label: str, run: Run) -> Record:
    total = sum(seconds(run, phase) for phase in PHASES)
    rounds = [
        [
            str(record["round"]),
            str(record["labeled"]),
            f"{record['share']:.1%}",
            *(_number(record["test"].get(name), decimals) for name, decimals in _METRICS.items()),
            _number(record["val"].get("dice_slice"), 3),
            _pseudo(record),
            _number(float(total[index]), 0),
        ]
        for index, record in enumerate(run.records)
    ]
    cases = [
        [name, *(_number(values.get(metric), decimals) for metric, decimals in _METRICS.items())]
        for name, values in run.records[-1]["cases"].items()
    ]
    return {
        "label": label,
        "seed": run.seed,
        "folder": run.folder.name,
        "value": results.metric.text(results.metric.of(run.records[-1])),
        "options": _settings(run.config["strategy"]["options"]) or "none",
        "rounds": rounds,
        "cases": cases,
    }


def _pseudo(record: Record) -> str:
    pseudo = record.get("pseudo", {})
    if not pseudo.get("count"):
        return ""
    return f"{pseudo['count']} ({_number(pseudo.get('dice'), 3)})"


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{decimals}f}"
