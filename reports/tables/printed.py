"""What the STAR paper printed: its tables rebuilt, and its values to stand beside ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from albench.reports.group import Group
from albench.reports.metric import Metric
from albench.reports.published import SHARES, Printed, Protocol, methods, protocols, table1, table2
from albench.reports.results import Results
from albench.reports.tables.table import Cell, Column, Row, Table, marked, slug

YES, NO = "✓", "×"
AGGREGATIONS = {"attention": YES, "none": NO, "ceal": "CEAL"}
"""How Table 2 names ways to make pseudo-labels."""

_DICE = Metric("dice_slice", "slice Dice")


def printed_table1(title: str) -> Table:
    """Table 1 of the paper for `BraTS` or `Spleen`, rebuilt from its numbers."""
    known = {method.name: method for method in methods()}
    rows = []
    for name, printed in table1(title).items():
        method = known[name]
        head = (Cell(name), Cell(YES if method.al else NO), Cell(YES if method.ssl else NO))
        rows.append(Row((*head, *_printed_cells(printed))))
    reference = next(protocol.supervised for protocol in protocols().values() if protocol.title == title)
    caption = (f"As printed in Table 1 of Ma et al., MICCAI 2025, for {title}: supervised performance {reference}.",)
    columns = paper_columns(_DICE, (title, "AL", "SSL"))
    return marked(Table(f"printed-table1-{slug(title)}", f"{title} in the STAR paper", columns, tuple(rows), caption))


def printed_table2() -> Table:
    """Table 2 of the paper, rebuilt from its numbers."""
    rows = []
    for (aggregation, query), printed in table2().items():
        agg = AGGREGATIONS[aggregation]
        rows.append(Row((Cell(agg), Cell(YES if query == "similarity" else NO), *_printed_cells(printed))))
    caption = ("As printed in Table 2 of Ma et al., MICCAI 2025: ablation on BraTS.",)
    columns = paper_columns(_DICE, ("Agg", "Sim"))
    return marked(Table("printed-table2", "Ablation in the STAR paper", columns, tuple(rows), caption))


def paper_protocol(results: Results, group: Group) -> Protocol | None:
    """The paper's protocol, if this is a suite that repeats it."""
    if results.collection.digest is None or not results.collection.name.startswith(("paper-", "ablation-")):
        return None
    return protocols().get(group.some_run.config["dataset"]["name"])


def printed_beside(results: Results, group: Group, seeds: int) -> tuple[Protocol | None, list[str]]:
    """The paper's protocol if its values can stand beside ours, and the sentence that says why or why not.

    Args:
        results: what is reported.
        group: of the results.
        seeds: of the paper's table.
    """
    protocol = paper_protocol(results, group)
    if protocol is None or results.metric.name != "dice_slice":
        return None, []
    difference = protocol.difference(group.some_run.config)
    if difference is not None:
        return None, [f"The paper's values are not shown beside, because its protocol is another: {difference}."]
    sentence = (
        f"As printed in the paper: Ma et al., MICCAI 2025, {seeds} seeds, supervised performance "
        f"{protocol.supervised}; the split and the code are not the same."
    )
    return protocol, [sentence]


def printed_row(printed: Printed) -> Row:
    """A row of the paper below ours, whose first three cells say what it is."""
    return Row((Cell("as printed in the paper"), Cell(""), Cell(""), *_printed_cells(printed)), muted=True)


def paper_columns(metric: Metric, head: Sequence[str]) -> tuple[Column, ...]:
    """The columns of Tables 1 and 2 after those of `head`."""
    better: Literal["higher", "lower"] = "higher" if metric.higher else "lower"
    shares = [Column(f"{share:.0%}", better) for share in SHARES]
    best = "max(p)" if metric.higher else "min(p)"
    return (*map(Column, head), *shares, Column(best, better), Column("S%", "lower"))


def _printed_cells(printed: Printed) -> list[Cell]:
    cells = [Cell(mean, f"± {sd}", float(mean)) for mean, sd in printed.values]
    if not printed.s_percent:
        return [*cells, Cell("-", value=math.inf)]
    share = f"{printed.s_percent}%"
    text = f"{printed.s_slices} ({share})" if printed.s_slices else share
    return [*cells, Cell(text, value=float(printed.s_percent) / 100)]
