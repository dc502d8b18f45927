"""Tables of the manual that are computed from published results: found by their marks, computed anew, and written.

A mark is a comment before a table. It names what the rows are, and the bundle:

    <!-- methods of menu-hippocampus; metric: hd95 -->

    | method | AUBC |
    | --- | --- |

The header of the table chooses the columns. Called as a program, this module writes all tables anew:

    PYTHONPATH=tests .venv/bin/python -m support.manual_tables
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from albench.config import build
from albench.registry import STRATEGIES, find
from albench.reports import Results
from albench.reports.costs import steps_per_round
from support.published import published

DOCS = Path(__file__).parents[2] / "docs"

Row = Mapping[str, Any]
Column = Callable[[Results, Row], str]

_MARK = re.compile(r"<!-- (?P<kind>[\w ]+) of (?P<bundle>[\w.-]+)(?P<options>(?:; \w+: [^;>]+)*) -->\n\n(?=\|)")
_OPTIONS = ("group", "metric", "class_name", "baseline", "label")


@dataclass(frozen=True)
class ManualTable:
    """A table in the manual.

    Attributes:
        document: in which it is.
        kind: what its rows are, a key of KINDS.
        bundle: the name of the published results.
        options: `group` and `label` choose rows; `metric`, `class_name` and `baseline` are those of `load`.
        start: where its first character is in the document, and `end` where it ends.
        text: of the table.
    """

    document: Path
    kind: str
    bundle: str
    options: Mapping[str, str]
    start: int
    end: int
    text: str

    def computed(self) -> str:
        """The text of the table from the bundle. Raises KeyError if kind or column is unknown."""
        header, rule = self.text.splitlines()[:2]
        titles = [cell.strip() for cell in header.strip().strip("|").split("|")]
        chosen = {name: value for name, value in self.options.items() if name not in ("group", "label")}
        results = published(self.bundle, **chosen)
        rows_of, columns = KINDS[self.kind]
        rows = [
            "| " + " | ".join(columns[title](results, row) for title in titles) + " |"
            for row in rows_of(results)
            if all(self.options.get(name) in (None, row[name]) for name in ("group", "label"))
        ]
        return "\n".join([header, rule, *(re.sub(r"\|  (?=\|)", "| ", row) for row in rows)])


def manual_tables(document: Path) -> list[ManualTable]:
    """The marked tables of a document."""
    text = document.read_text()
    found = []
    for mark in _MARK.finditer(text):
        pairs = (option.split(": ", 1) for option in mark["options"].split("; ")[1:])
        options = {name: value.strip() for name, value in pairs}
        if not options.keys() <= {*_OPTIONS}:
            raise ValueError(f"options of a table must be among {', '.join(_OPTIONS)}, got {mark[0]!r}")
        end = text.find("\n\n", mark.end())
        end = len(text.rstrip()) if end < 0 else end
        found.append(
            ManualTable(document, mark["kind"], mark["bundle"], options, mark.end(), end, text[mark.end() : end])
        )
    return found


def write_tables(document: Path) -> None:
    """Compute the tables of a document anew."""
    text = document.read_text()
    for table in reversed(manual_tables(document)):
        text = text[: table.start] + table.computed() + text[table.end :]
    document.write_text(text)


def _methods(results: Results) -> Iterator[Row]:
    """A row per method, by mean AUBC: its numbers, and its difference to the baseline unless it is the baseline."""
    rivals = results.differences().query("kind == 'baseline'").set_index(["group", "label"])
    for row in results.efficiency().sort_values("aubc", ascending=not results.metric.higher).to_dict("records"):
        key = (row["group"], row["label"])
        yield {**row, **(rivals.loc[key].to_dict() if key in rivals.index else {})}


def _parts(results: Results) -> Iterator[Row]:
    """A row per part of the difference between a method and random."""
    yield from results.attribution().to_dict("records")


def _spread(name: str) -> Column:
    def written(results: Results, row: Row) -> str:
        deviation = row[f"{name}_sd"]
        return results.metric.text(row[name]) + ("" if pd.isna(deviation) else f" ± {results.metric.text(deviation)}")

    return written


def _interval(low: str, high: str) -> Column:
    return lambda _, row: f"{row[low]:+.4f} to {row[high]:+.4f}" if low in row else ""


def _gain(_: Results, row: Row) -> str:
    return f"{row['gain']:+.4f}" if "gain" in row else ""


def _predictions(results: Results, row: Row) -> str:
    """How often a query predicts an unlabeled slice, by the options of the runs."""
    choice = results.group(row["group"]).methods[row["label"]][0].reader.config.strategy
    strategy = build(find(STRATEGIES, choice.name), choice.options, "strategy")
    return f"{strategy.predictions_per_slice():.3g}"


def _steps(results: Results, row: Row) -> str:
    return f"{steps_per_round(results.group(row['group']).methods[row['label']]):.0f}"


_GAINS: dict[str, Column] = {
    "difference": _gain,
    "difference to `random`": _gain,
    "95 % over seeds": _interval("low", "high"),
}
KINDS: dict[str, tuple[Callable[[Results], Iterator[Row]], Mapping[str, Column]]] = {
    "methods": (
        _methods,
        {
            "method": lambda _, row: row["label"],
            "setting": lambda _, row: row["group"],
            "AUBC": _spread("aubc"),
            "last round": _spread("final"),
            **_GAINS,
            "95 % over seeds and cases": _interval("cases_low", "cases_high"),
            "predictions": _predictions,
            "steps per round": _steps,
        },
    ),
    "attribution": (
        _parts,
        {"method": lambda _, row: row["label"], "part": lambda _, row: row["part"], **_GAINS},
    ),
}


def main(documents: Sequence[Path] | None = None) -> None:
    """Write all tables of the manual anew."""
    for document in documents or sorted(DOCS.glob("*.md")):
        write_tables(document)


if __name__ == "__main__":
    main()
