"""The metrics of records as a table: `scores.csv` of a run, and one DataFrame of many runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from albench.changed_options import changed_options
from albench.errors import StoreError
from albench.files import atomic_write
from albench.runs.comparability import labels_and_groups
from albench.runs.discovery import Discovery, discover
from albench.runs.live_suite import live_suite
from albench.runs.manifest import read_manifest
from albench.runs.reader import RunReader
from albench.runs.records import Metrics, RoundRecord
from albench.settings import as_setting
from albench.spreadsheet import csv_text

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""In the place of a case: the whole set; in the place of a class: all of them."""

_METRICS = tuple(field.name for field in fields(Metrics))

_COLUMNS = (
    *("suite", "group", "label", "dataset", "strategy", "options", "seed", "run"),
    *("round", "labeled", "share", "case", "class", "metric", "value"),
)

Score = tuple[str, str, str, float | None]


def scores(record: RoundRecord) -> Iterator[Score]:
    """(case, class, metric, value) of the test set, of the validation set (`val_...`) if any, and of every test case.

    First of all classes together, then of each of several classes.
    """
    yield from _of(ALL, record.test, record.val, record.cases)
    for name, own in record.classes.items():
        yield from _of(name, own.test, own.val, own.cases)


def _of(name: str, test: Metrics, val: Metrics | None, cases: Mapping[str, Metrics]) -> Iterator[Score]:
    for metric in _METRICS:
        yield ALL, name, metric, getattr(test, metric)
    for metric in _METRICS if val else ():
        yield ALL, name, f"val_{metric}", getattr(val, metric)
    for case, metrics in cases.items():
        for metric in _METRICS:
            yield case, name, metric, getattr(metrics, metric)


def scores_csv(records: Sequence[RoundRecord]) -> str:
    """The text of `scores.csv`."""

    @cache  # every round has the same
    def text(*names: str) -> str:
        return csv_text([names]).removesuffix("\n")

    rows = (
        f"{record.round},{text(case, name, metric)},{'' if value is None else value}\n"
        for record in records
        for case, name, metric, value in scores(record)
    )
    return csv_text([["round", "case", "class", "metric", "value"]]) + "".join(rows)


def write_scores(path: Path, records: Sequence[RoundRecord]) -> None:
    """Write `scores.csv`, unless it holds these records. Raises StoreError."""
    text = scores_csv(records).encode()
    if not path.exists() or path.read_bytes() != text:
        with atomic_write(path) as file:
            file.write(text)


def restore_scores(run: RunReader) -> None:
    """Write the `scores.csv` of a sound, finished run anew if it is missing and the folder can be written."""
    if not run.layout.scores.exists():
        with suppress(StoreError):  # of a folder that may only be read
            write_scores(run.layout.scores, run.records)


def load_runs(out: Path | str) -> pd.DataFrame:
    """The metrics of all runs at or below `out`: one row per run, round, case, class and metric.

    Returns:
        Columns suite, group, label, dataset, strategy, options, seed, run, round, labeled, share, case, class, metric,
        value. Suite, group and label are those of the suite that lists the run, as its file names them now, if it is
        there (`albench.runs.live_suite`); of another run the suite is empty, and group and label are those of
        `albench report`. Options are those that are not the defaults of albench, as text.
        The case of a metric of the whole test set is "all", as is the class of one of all classes; a value that does
        not exist is NaN.

    Raises:
        StoreError: `out` is not a folder, or a run in it, or the list of a suite, is damaged.
    """
    import pandas as pd

    found = discover(Path(out))
    rows = []
    for run, (suite, group, label) in zip(found.runs, _places(found), strict=True):
        options = changed_options(run.config)
        names = {
            "suite": suite,
            "group": group,
            "label": label,
            "dataset": run.config.title,
            "strategy": run.config.strategy.name,
            "options": ", ".join(f"{name}={as_setting(value)}" for name, value in options.items()),
            "seed": run.config.seed,
            "run": run.folder.name,
        }
        for record in run.records:
            amount = {"round": record.round, "labeled": record.labeled, "share": record.share}
            for case, name, metric, value in scores(record):
                rows.append(names | amount | {"case": case, "class": name, "metric": metric, "value": value})
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": float})


def _places(found: Discovery) -> list[tuple[str, str, str]]:
    """Suite, group and label of every run."""
    listed: dict[Path, tuple[str, str, str]] = {}
    for folder in found.suites:
        if (manifest := read_manifest(folder)) is not None:
            live = live_suite(manifest)
            for run in (*live.removed, *live.runs):
                listed[(folder / run.folder).resolve()] = (manifest.name, run.group, run.label)
    others = [run for run in found.runs if run.folder.resolve() not in listed]
    for other, (label, group) in zip(others, labels_and_groups([run.config for run in others]), strict=True):
        listed[other.folder.resolve()] = ("", group, label)
    return [listed[run.folder.resolve()] for run in found.runs]
