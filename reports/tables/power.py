"""The table of power: how many seeds a difference needs, by the measured deviations."""

from __future__ import annotations

from statistics import median_high

import pandas as pd

from albench.reports.captions import left_out, measured, provenance
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.power import POWER
from albench.reports.results import Results
from albench.reports.significance import LEVEL
from albench.reports.tables.cells import COUNT, Cell, Interval, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table

_DIFFERENCE = NumberFormat(4)


def power_table(results: Results, group: Group) -> Table | None:
    """What each difference to the baseline needs; to the best rival in a group without the baseline.

    None if the report plans no difference, or if no deviation is known.
    """
    found = _comparisons(results, group)
    if found.empty:
        return None
    unit, difference = found["unit"].iloc[0], _in_words(results)
    titles = (
        *("Method", "against", f"{unit}s", "sd", f"{unit}s for {difference}", "after Holm"),
        *("detected", "detected, Holm"),
    )
    rows = [Row((Cell(row["label"]), Cell(row["rival"]), *_cells(row))) for _, row in found.iterrows()]
    about = (*measured(results, group), *about_power(results, group))
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    title = f"What a difference of {difference} needs on {group.name}"
    return Table(f"power-{slug(group.name)}", title, tuple(map(Column, titles)), tuple(rows), about, sources)


def about_power(results: Results, group: Group) -> list[str]:
    """What the table says, and what its columns are; why there is none, in one sentence."""
    found = _comparisons(results, group)
    difference = _in_words(results)
    if found.empty:
        return [
            f"How many seeds a difference of {difference} needs on {group.name} is unknown: the deviation of a "
            "difference needs two methods with two common seeds, whose gains differ."
        ]
    unit, tests = found["unit"].iloc[0], int(found["tests"].iloc[0])
    corrected = f"; after Holm's correction over {tests} tests, {_needs(found, 'needed_holm', unit)}" * (tests > 1)
    return [
        f"For a difference of {difference}, {_needs(found, 'needed', unit)}{corrected}.",
        f"{unit.capitalize()}s for {difference}: the fewest with which the paired, two-sided t test at {LEVEL} finds a "
        f"true difference of this size in AUBC with a probability of {POWER}, by the noncentral t distribution at the "
        "measured deviation; after Holm: at the level that the smallest p has to pass, "
        f"{LEVEL} / {tests} = {LEVEL / tests:.2g}.",
        f"sd: sample standard deviation of the difference between {unit}s. In brackets: its 95 % interval, and the "
        f"{unit}s needed at its ends; few {unit}s estimate a deviation badly.",
        f"Detected: the true difference that the present number of {unit}s finds with a probability of {POWER}.",
        _source(results, group, unit),
    ]


def _comparisons(results: Results, group: Group) -> pd.DataFrame:
    """The rows of the table, all with a deviation; empty if nothing is planned."""
    found = results.power() if results.planned is not None else pd.DataFrame()
    if found.empty:
        return found
    known = found[(found["group"] == group.name) & found["sd"].notna()]
    of_baseline = known[known["kind"] == "baseline"]
    return known if of_baseline.empty else of_baseline


def _cells(row: pd.Series) -> list[Cell]:
    deviation = Interval(row["sd_low"], row["sd_high"], _DIFFERENCE)
    needed, after_holm = (
        number_cell(row[name], COUNT, Interval(row[f"{name}_low"], row[f"{name}_high"], COUNT))
        for name in ("needed", "needed_holm")
    )
    detected = (number_cell(row[name], _DIFFERENCE) for name in ("detected", "detected_holm"))
    return [
        number_cell(row["units"], COUNT),
        number_cell(row["sd"], _DIFFERENCE, deviation),
        needed,
        after_holm,
        *detected,
    ]


def _needs(found: pd.DataFrame, column: str, unit: str) -> str:
    """How many units the comparisons need: one, or the half and all of them; a pair in two rows counts once."""
    pairs = {frozenset((row["label"], row["rival"])): row[column] for _, row in found.iterrows()}
    needed = [int(count) for count in pairs.values()]
    if len(needed) == 1:
        return f"the comparison needs {needed[0]:,} {unit}s"
    half, most = median_high(needed), max(needed)
    return f"half of the {len(needed)} comparisons need at most {half:,} {unit}s and all at most {most:,}"


def _source(results: Results, group: Group, unit: str) -> str:
    """Which variance the deviation is of."""
    if unit == "split":
        return (
            "The deviation is that of differences between splits, each the mean over its seeds. It holds the choice of "
            "patients, and what is needed are further splits with as many seeds each."
        )
    split = group.some_run.reader.split
    part = results.metric.part
    cases = len(split.test if part == "test" else split.val)
    return (
        f"The deviation is that of differences between seeds on the same {cases} {part} cases. It does not hold the "
        "choice of patients: more seeds make a difference certain on these cases only, and other patients need more "
        "cases or splits."
    )


def _in_words(results: Results) -> str:
    return f"{results.planned:g} {results.metric.unit}".strip()
