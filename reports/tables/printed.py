"""What the STAR paper printed: its tables rebuilt, and its rows to show beside ours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.paper_values import SHARES, Printed, Protocol, methods, protocols, table1, table2
from albench.reports.results import Results
from albench.reports.tables.cells import Cell, Deviation, NumberFormat, number_cell, reach_cell
from albench.reports.tables.table import Column, Row, Table, marked

YES, NO = "✓", "×"
AGGREGATIONS = {"attention": YES, "none": NO, "ceal": "CEAL"}
"""Aggregations of pseudo-labels, and how Table 2 prints them."""


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
    columns = paper_columns((Column(title), Column("AL"), Column("SSL")))
    return marked(Table(f"printed-table1-{slug(title)}", f"{title} in the STAR paper", columns, tuple(rows), caption))


def printed_table2() -> Table:
    """Table 2 of the paper, rebuilt from its numbers."""
    rows = []
    for (aggregation, query), printed in table2().items():
        head = (Cell(AGGREGATIONS[aggregation]), Cell(YES if query == "similarity" else NO))
        rows.append(Row((*head, *_printed_cells(printed))))
    caption = ("As printed in Table 2 of Ma et al., MICCAI 2025: ablation on BraTS.",)
    columns = paper_columns((Column("Agg"), Column("Sim")))
    return marked(Table("printed-table2", "Ablation in the STAR paper", columns, tuple(rows), caption))


def paper_protocol(results: Results, group: Group) -> Protocol | None:
    """The protocol of the paper, if the suite repeats one of its experiments."""
    if not results.collection.suite.startswith(("paper-", "ablation-")):
        return None
    return protocols().get(group.some_run.reader.config.dataset.name)


def printed_beside(results: Results, group: Group, seeds: int) -> tuple[Protocol | None, list[str]]:
    """The protocol of the paper if its values can be shown beside ours, and sentences that say so or why not.

    Args:
        results: what is reported.
        group: of the results.
        seeds: of the paper's table.
    """
    protocol = paper_protocol(results, group)
    if protocol is None:
        return None, []
    note = [f"On {protocol.title} in the paper: {protocol.note}."] if protocol.note else []
    differences = protocol.differences(group.some_run.reader.config)
    if differences:
        why = f"The values of the paper are not shown, because its settings differ: {'; '.join(differences)}."
        return None, [why, *note]
    sentence = (
        f"As printed in the paper: Ma et al., MICCAI 2025, {seeds} seeds, supervised performance "
        f"{protocol.supervised}; its settings are ours, split and code differ."
    )
    return protocol, [sentence, *note]


def printed_row(printed: Printed) -> Row:
    """A row of the paper to show below ours; its first three cells say what it is."""
    return Row((Cell("as printed in the paper"), Cell(), Cell(), *_printed_cells(printed)), muted=True)


def paper_columns(head: Sequence[Column], *notes: str) -> tuple[Column, ...]:
    """The columns of Tables 1 and 2: `head`, the shares, max(p) and S%; `notes` are those of the last two, if given."""
    shares = [Column(f"{share:.0%}", "higher") for share in SHARES]
    return (*head, *shares, Column("max(p)", "higher", notes[:1]), Column("S%", "lower", notes[1:]))


def _printed_cells(printed: Printed) -> list[Cell]:
    decimals = NumberFormat(printed.sd_decimals)
    cells = [number_cell(mean, NumberFormat(3), Deviation(sd, decimals)) for mean, sd in printed.values]
    return [*cells, reach_cell(math.inf if printed.s_share is None else printed.s_share, printed.s_slices)]
