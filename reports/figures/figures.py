"""All figures of a report."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping

from albench.reports.figures.attention import attention
from albench.reports.figures.curves import class_curves, cost_curves, learning_curves, study_curves
from albench.reports.figures.method_panels import method_panels
from albench.reports.figures.penalties import penalty_matrix
from albench.reports.figures.pseudo_labels import pseudo_labels
from albench.reports.figures.query_positions import query_positions
from albench.reports.figures.rank_diagram import rank_diagram
from albench.reports.figures.round_time import time_per_round
from albench.reports.figures.slices import gallery, segmentations
from albench.reports.figures.style import Drawing, LineStyle, line_styles, styled
from albench.reports.figures.wins import win_matrix
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.study import Study


def draw(results: Results) -> Iterator[Drawing]:
    """The figures that the records allow, first those over datasets, then group by group.

    Each is drawn when it is asked for, as it takes memory.
    """
    labels = list(dict.fromkeys(label for group in results.groups for label in group.methods))
    styles = line_styles(labels, results.baseline)
    if results.study is not None:
        yield from _styled(filter(None, _over_datasets(results, results.study, styles)))
    for group in results.groups:
        yield from _styled(filter(None, _of(results, group, styles)))


def _over_datasets(results: Results, study: Study, styles: Mapping[str, LineStyle]) -> Iterator[Drawing | None]:
    yield study_curves(results, study, styles)
    yield rank_diagram(results, study)
    yield penalty_matrix(results, study)


def _styled(drawings: Iterator[Drawing]) -> Iterator[Drawing]:
    while True:
        gc.collect()  # of the last figure, which takes megabytes and refers to itself
        with styled():
            drawing = next(drawings, None)
        if drawing is None:
            return
        yield drawing
        del drawing


def _of(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Iterator[Drawing | None]:
    yield learning_curves(results, group, styles)
    yield method_panels(results, group)
    yield class_curves(results, group, styles)
    yield segmentations(results, group)
    yield win_matrix(results, group)
    yield cost_curves(results, group, styles)
    yield query_positions(results, group)
    yield gallery(results, group)
    yield from attention(results, group)
    yield from pseudo_labels(results, group)
    yield time_per_round(results, group)
