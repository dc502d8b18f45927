"""The tables of a bundle: gzipped CSV with a row per value or round, from the records of runs and back to them.

Numbers are written so that reading gives the same ones. A cell without a value is empty, one with several is JSON.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from albench.errors import StoreError
from albench.runs.records import AuditRecord, Metrics, QueryRecord, RoundRecord, SliceName, Verdict
from albench.runs.scores import ALL, scores
from albench.runs.stored_run import StoredRun
from albench.spreadsheet import csv_text, read_cell

KEY = ("run", "round")
SCORE_COLUMNS = (*KEY, "label", "group", "seed", "labeled", "share", "case", "class", "metric", "value")
QUERY_COLUMNS = (*KEY, "rank", "id", "case", "position")
GAIN, AUDIT = "gain_over_everything", "audit"

_METRICS = {field.name for field in fields(Metrics)}
_ELSEWHERE = {"round", "test", "val", "cases", "classes", "files", "previous"}  # fields that no column of rounds is for
_RECORD: TypeAdapter[RoundRecord] = TypeAdapter(RoundRecord)

Rows = Iterator[Mapping[str, str]]
Place = tuple[str, int]
"""A run by the name of its folder, and a round."""


@dataclass(frozen=True)
class Named:
    """A run with its names in a bundle.

    Attributes:
        label: of its method.
        group: what it is compared within.
        dataset: under which results are filed.
        folder: of the run in the bundle.
        run: itself.
    """

    label: str
    group: str
    dataset: str
    folder: str
    run: StoredRun


@dataclass(frozen=True)
class BundledRound:
    """A round as it is read.

    Attributes:
        record: of the round, without the hashes of its files.
        query: of the round; None after the last one.
        audit: of the query; None if it was not audited.
        gain_over_everything: of the predictions that the run kept, see `albench.runs.foreground`.
    """

    record: RoundRecord
    query: QueryRecord | None
    audit: AuditRecord | None
    gain_over_everything: float


def packed(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as gzipped CSV, the same bytes for the same rows."""
    return gzip.compress(csv_text(rows).encode(), mtime=0)


def unpacked_text(content: bytes) -> str:
    """The text of such a file."""
    return gzip.decompress(content).decode()


def unpacked(content: bytes) -> Rows:
    """The rows of such a file, by the names of its columns."""
    lines = csv.reader(io.StringIO(unpacked_text(content), newline=""))
    header = next(lines, [])
    return (dict(zip(header, map(read_cell, line), strict=True)) for line in lines)


def score_rows(runs: Iterable[Named]) -> Iterator[Sequence[object]]:
    """The metrics of every round, as `albench.runs.scores.scores` lists them."""
    yield SCORE_COLUMNS
    for named in runs:
        for record in named.run.records:
            place = (named.folder, record.round, named.label, named.group, named.run.config.seed)
            for case, name, metric, value in scores(record):
                yield (*place, record.labeled, record.share, case, name, metric, value)


def query_rows(runs: Iterable[Named]) -> Iterator[Sequence[object]]:
    """The slices of every query, the most wanted first."""
    yield QUERY_COLUMNS
    for named in runs:
        for record in named.run.records[:-1]:
            query = named.run.query(record.round)
            for rank, (row, one) in enumerate(zip(query.ids, query.slices, strict=True), 1):
                yield (named.folder, record.round, rank, row, one.case, one.position)


def round_rows(runs: Iterable[Named]) -> Iterator[Sequence[object]]:
    """All else that a round records, a column for each number: `annotation_cost.slices` and so on."""
    rows: list[dict[str, object]] = []
    for named in runs:
        records = named.run.records
        for record in records:
            gain = named.run.gain_over_everything(record.round)
            audit = named.run.audit(record.round) if record.round + 1 < len(records) else None
            row: dict[str, object] = {"run": named.folder, "round": record.round, **_cells(record)}
            row[GAIN] = None if math.isnan(gain) else gain
            rows.append(row | {AUDIT: None if audit is None else audit.verdict})
    columns = list(dict.fromkeys(column for row in rows for column in row))
    yield columns
    yield from ([row.get(column) for column in columns] for row in rows)


def read_rounds(scores: Rows, rounds: Rows, queries: Rows) -> dict[str, list[BundledRound]]:
    """{run: its rounds} of the three tables. Raises StoreError, ValueError, KeyError or TypeError for what is wrong."""
    metrics, asked = _metrics(scores), _queries(queries)
    found: dict[str, list[BundledRound]] = {}
    for row in rounds:
        run, number = _place(row)
        own = found.setdefault(run, [])
        if number != len(own):
            raise StoreError(f"round {number} of {run} is out of order")
        gain, verdict = row[GAIN], row[AUDIT]
        content = _nested(RoundRecord, row, "") | metrics.get((run, number), {}) | {"round": number}
        own.append(
            BundledRound(
                _validated(content, f"round {number} of {run}"),
                asked.get((run, number)),
                AuditRecord(_verdict(verdict), "") if verdict else None,
                float(gain) if gain else math.nan,
            )
        )
    return found


def _cells(value: Any, prefix: str = "") -> dict[str, object]:
    """The fields of a record that are no metrics, by dotted name."""
    found: dict[str, object] = {}
    for field in fields(value):
        inner, name = getattr(value, field.name), f"{prefix}{field.name}"
        if name in _ELSEWHERE:
            continue
        if is_dataclass(inner):
            found |= _cells(inner, f"{name}.")
        elif isinstance(inner, Mapping | tuple):
            found[name] = json.dumps(_plain(inner)) if inner else None
        else:
            found[name] = inner
    return found


def _plain(value: object) -> object:
    """Records in mappings and lists as JSON content."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _nested(cls: Any, row: Mapping[str, str], prefix: str) -> dict[str, object]:
    """The content of a record from the cells that `_cells` gave; of a field without a column its default, or None."""
    found: dict[str, object] = {}
    hints = _hints(cls)
    for field in fields(cls):
        name, kinds = f"{prefix}{field.name}", get_args(hints[field.name])
        if name in _ELSEWHERE:
            continue
        inner = next((kind for kind in (hints[field.name], *kinds) if is_dataclass(kind)), None)
        if inner is not None and not any(_is_several(kind) for kind in (hints[field.name], *kinds)):
            filled = any(cell for column, cell in row.items() if column.startswith(f"{name}."))
            found[field.name] = _nested(inner, row, f"{name}.") if filled or type(None) not in kinds else None
        elif name not in row and field.default is not MISSING:
            continue
        elif _is_several(hints[field.name]):
            found[field.name] = json.loads(row.get(name) or _empty(hints[field.name]))
        else:
            found[field.name] = row.get(name) or None
    return found


@cache
def _hints(cls: type) -> dict[str, Any]:
    """The types of the fields of a class, found once for all rows."""
    return get_type_hints(cls)


def _is_several(hint: object) -> bool:
    origin = getattr(hint, "__origin__", None)
    return isinstance(origin, type) and issubclass(origin, Mapping | tuple)


def _empty(hint: Any) -> str:
    return "{}" if issubclass(hint.__origin__, Mapping) else "[]"


def _metrics(rows: Rows) -> dict[Place, dict[str, object]]:
    """{run and round: test, val, cases and classes of the record}."""
    values: dict[Place, dict[str, dict[str, dict[str, float | None]]]] = {}
    for row in rows:
        name, metric = row["case"], row["metric"]
        if metric.startswith("val_"):
            name, metric = "val", metric.removeprefix("val_")
        elif name == ALL:
            name = "test"
        else:
            name = f"case {name}"
        if metric not in _METRICS:
            raise StoreError(f"the metric {metric} is not known to this version")
        part = values.setdefault(_place(row), {}).setdefault(row["class"], {}).setdefault(name, {})
        part[metric] = float(row["value"]) if row["value"] else None
    return {
        place: {**_parts(by_class[ALL]), "classes": {c: _parts(own) for c, own in by_class.items() if c != ALL}}
        for place, by_class in values.items()
    }


def _parts(values: Mapping[str, Mapping[str, float | None]]) -> dict[str, object]:
    made = {name: {metric: own.get(metric) for metric in _METRICS} for name, own in values.items()}
    cases = {name.removeprefix("case "): own for name, own in made.items() if name.startswith("case ")}
    return {"test": made["test"], "val": made.get("val"), "cases": cases}


def _queries(rows: Rows) -> dict[Place, QueryRecord]:
    found: dict[Place, list[tuple[int, SliceName]]] = {}
    for row in rows:
        found.setdefault(_place(row), []).append((int(row["id"]), SliceName(row["case"], int(row["position"]))))
    return {
        place: QueryRecord(tuple(number for number, _ in asked), tuple(one for _, one in asked), None)
        for place, asked in found.items()
    }


def _place(row: Mapping[str, str]) -> Place:
    return row["run"], int(row["round"])


def _verdict(text: str) -> Verdict:
    for verdict in get_args(Verdict):
        if text == verdict:
            return verdict
    raise StoreError(f"an audit must be one of {', '.join(get_args(Verdict))}, got '{text}'")


def _validated(content: Mapping[str, object], where: str) -> RoundRecord:
    try:
        return _RECORD.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise StoreError(f"{field} of {where} is wrong ({first['msg']})") from error
