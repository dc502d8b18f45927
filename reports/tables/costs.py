"""The table of annotation cost, training and computing time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from albench.reports.captions import left_out, provenance, validation_labels
from albench.reports.costs import (
    AXES,
    PHASES,
    annotation_cost,
    cpu_seconds,
    median_step_seconds,
    seconds,
    slices_read,
    steps,
)
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import REFERENCE, Run
from albench.reports.tables.cells import COUNT, Cell, NumberFormat, number_cell
from albench.reports.tables.table import Column, Row, Table
from albench.runs.untrained import kept_weights

_MINUTES = NumberFormat(1, thousands=True, divisor=60)  # of seconds
_MILLISECONDS = NumberFormat(0, thousands=True, divisor=1e-3)  # of seconds

_SLICES_READ = "Slices read: labeled, pseudo-labeled and unlabeled slices in these steps, each time counted."
_WHOLE_RUN = (
    "Time of a whole run; a shared training of round 0 is counted in the run that computed it. Other processes on the "
    "machine prolong the phases."
)
_CPU = "CPU: time of all threads, which other processes hardly prolong."
_STEP = (
    "Step: median of an optimizer step of fit after round 0, or of round 0 if a run has no other, with the validation "
    "after it, which other processes prolong only if they run most of the time."
)


def cost_table(results: Results, group: Group) -> Table:
    """Annotation cost after the last query, training until the last evaluation, and time of a whole run."""
    methods = group.methods | ({REFERENCE: group.reference} if group.reference else {})
    rows = [_row(label, runs) for label, runs in methods.items()]
    annotation_titles = ("slices", "nonempty slices", "foreground pixels", "contour length [pixels]", "cases")
    taken = (
        "Steps taken: optimizer steps of all trainings of the last evaluated network, a shared training of round 0 "
        f"included. {_without_better_weights(run for runs in methods.values() for run in runs)}"
    )
    columns = (
        Column("Method"),
        *map(Column, annotation_titles),
        Column("steps taken", notes=(taken,)),
        Column("slices read", notes=(_SLICES_READ,)),
        *(Column(f"{phase} [min]", notes=(_WHOLE_RUN,)) for phase in PHASES),
        Column("CPU [min]", notes=(_CPU,)),
        Column("step [ms]", notes=(_STEP,)),
    )
    about = (
        "Annotation cost of the labels of the last round, initial labels included, mean over runs.",
        validation_labels(group),
        "Foreground pixels and contour length are measured on the working grid.",
    )
    sources = (*provenance(results, group), *left_out(results.collection, group.name))
    return Table(f"costs-{slug(group.name)}", f"Costs on {group.name}", columns, tuple(rows), about, sources)


def _row(label: str, runs: Sequence[Run]) -> Row:
    """Means over the runs of a method."""

    def cell(values: Iterable[float], number_format: NumberFormat) -> Cell:
        return number_cell(float(np.mean(list(values))), number_format)

    return Row(
        (
            Cell(label),
            *(cell((annotation_cost(run, axis)[-1] for run in runs), COUNT) for axis in AXES),
            cell((steps(run)[-1] for run in runs), COUNT),
            cell((slices_read(run)[-1] for run in runs), COUNT),
            *(cell((seconds(run, phase).sum() for run in runs), _MINUTES) for phase in PHASES),
            cell((sum(cpu_seconds(run, phase).sum() for phase in PHASES) for run in runs), _MINUTES),
            number_cell(median_step_seconds(runs), _MILLISECONDS),
        )
    )


def _without_better_weights(runs: Iterable[Run]) -> str:
    """In how many rounds the weights stayed those from which the training started."""
    kept = [kept_weights(record) for run in runs for record in run.reader.records]
    return f"In {sum(kept):,} of {len(kept):,} rounds no better weights were found."
