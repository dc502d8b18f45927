"""Tables 1 and 2 of the STAR paper from our runs, with the paper's values beside them where they are comparable.

Their metric is always the paper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from albench.reports.arms import is_supervised
from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.paper_values import SHARES, methods, table1, table2
from albench.reports.reported_metrics import Metric
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.tables.cells import Cell, metric_cell, reach_cell
from albench.reports.tables.printed import AGGREGATIONS, NO, YES, paper_columns, printed_beside, printed_row
from albench.reports.tables.table import Column, Row, Table, marked

_SEEDS_OF_TABLE_1, _SEEDS_OF_TABLE_2 = 5, 3
_MAXIMUM = "max(p): the highest mean over runs of any round, with the deviation of that round."
_REACH = "S%: the lowest labeled share at which the mean over runs reaches the reference; -: never."


def main_table(results: Results, group: Group) -> Table:
    """Table 1: every method at the labeled shares of the columns, max(p) and S%."""
    results, group = _in_metric_of_paper(results, group)
    numbers = _rows(results, group)
    protocol, why = printed_beside(results, group, _SEEDS_OF_TABLE_1)
    theirs = table1(protocol.title) if protocol else {}
    names = {method.strategy: method.name for method in methods()}
    variants = Counter(runs[0].strategy for runs in group.methods.values())
    rows = []
    for label, runs in group.methods.items():
        strategy = runs[0].strategy
        head = (Cell(label), Cell(YES), Cell(YES if _is_semi_supervised(runs) else NO))
        rows.append(Row((*head, *_cells(results.metric, numbers.loc[label])), ranked=label in group.ranked))
        printed = theirs.get(names.get(strategy, ""))
        if printed is not None and variants[strategy] == 1:  # the paper does not say which of two variants is its own
            rows.append(printed_row(printed))
    columns = paper_columns((Column("Method"), Column("AL"), Column("SSL")), _MAXIMUM, _REACH)
    about, sources = _about(results, group, numbers), (*_sources(results, group), *why)
    title = f"Methods on {group.name}"
    return marked(Table(f"table1-{slug(group.name)}", title, columns, tuple(rows), about, sources))


def ablation_table(results: Results, group: Group) -> Table | None:
    """Table 2: aggregation of pseudo-labels and query rule of STAR.

    None without two variants, or if they differ in another option too, which the table would not show.
    """
    found = {label: _variant(runs[0]) for label, runs in group.methods.items()}
    variants = {label: own for label, own in found.items() if own is not None}
    others = [_other_options(group.methods[label][0]) for label in variants]
    if len(set(variants.values())) < 2 or any(own != others[0] for own in others):
        return None
    results, group = _in_metric_of_paper(results, group)
    numbers = _rows(results, group)
    protocol, why = printed_beside(results, group, _SEEDS_OF_TABLE_2)
    theirs = table2() if protocol else {}
    rows = []
    for label, (aggregation, query) in variants.items():
        head = (Cell(label), Cell(AGGREGATIONS[aggregation]), Cell(YES if query == "similarity" else NO))
        cells = _cells(results.metric, numbers.loc[label], counted=True)
        rows.append(Row((*head, *cells), ranked=label in group.ranked))
        if (aggregation, query) in theirs:
            rows.append(printed_row(theirs[aggregation, query]))
    columns = paper_columns((Column("Row"), Column("Agg"), Column("Sim")), _MAXIMUM, _REACH)
    about = (
        "Agg: pseudo-labels by spatial aggregation, CEAL: by the network alone; Sim: query by similarity.",
        *_about(results, group, numbers),
    )
    title, sources = f"Ablation on {group.name}", (*_sources(results, group), *why)
    return marked(Table(f"table2-{slug(group.name)}", title, columns, tuple(rows), about, sources))


def _in_metric_of_paper(results: Results, group: Group) -> tuple[Results, Group]:
    results = results.in_metric_of_paper
    return results, results.group(group.name)


def _rows(results: Results, group: Group) -> pd.DataFrame:
    """Numbers by label."""
    numbers = results.efficiency()
    return numbers[numbers["group"] == group.name].set_index("label")


def _cells(metric: Metric, numbers: pd.Series, *, counted: bool = False) -> list[Cell]:
    names = [f"at_{share * 100:.0f}" for share in SHARES]
    cells = [metric_cell(metric, numbers[name], numbers[f"{name}_sd"]) for name in (*names, "max")]
    return [*cells, reach_cell(numbers["reach"], numbers["reach_labeled"] if counted else None)]


def _is_semi_supervised(runs: Sequence[Run]) -> bool:
    """Whether unlabeled slices are learned from: by pseudo-labels in the records, or as the strategy declares."""
    if any(record.pseudo.count for run in runs for record in run.reader.records):
        return True
    if is_supervised(runs):
        return False
    known = {method.strategy: method.ssl for method in methods()}
    return runs[0].reader.environment.strategy_kind == "semi-supervised" or known.get(runs[0].strategy, False)


def _variant(run: Run) -> tuple[str, str] | None:
    """(aggregation, query rule) of a run of STAR, as in Table 2; None for another strategy."""
    options = run.reader.config.strategy.options
    aggregation, query = options.get("aggregation"), options.get("query_rule")
    if run.strategy != "star" or query is None:
        return None
    name = "ceal" if aggregation == "self" else str(aggregation)
    return (name, str(query)) if name in AGGREGATIONS else None


def _other_options(run: Run) -> dict[str, object]:
    """The options of a run of STAR that Table 2 does not show."""
    options = run.reader.config.strategy.options
    return {name: value for name, value in options.items() if name not in ("aggregation", "query_rule")}


def _about(results: Results, group: Group, numbers: pd.DataFrame) -> tuple[str, ...]:
    marks = "Best in bold, second underlined; values that are printed alike are equal."
    return (
        *measured(results, group),
        "The metric is as in the paper's code: slice Dice, two empty masks score 1.",
        *[marks] * (len(group.methods) > 1),
        *_true_shares(numbers),
    )


def _sources(results: Results, group: Group) -> list[str]:
    return [*provenance(results, group), *left_out(results.collection, group.name)]


def _true_shares(numbers: pd.DataFrame) -> list[str]:
    """The exact labeled shares of the columns."""
    found, missing = [], []
    for share in SHARES:
        true = numbers[f"at_{share * 100:.0f}_share"].dropna()
        if true.empty:
            missing.append(f"{share:.0%}")
        else:
            low, high = f"{true.min():.1%}", f"{true.max():.1%}"
            found.append(f"{low}{'' if low == high else f' to {high}'} for {share:.0%}")
    sentences = [f"Values are those of the nearest round: {', '.join(found)}."] if found else []
    if missing:
        sentences.append(f"No round lies near {', '.join(missing)}.")
    return sentences
