"""Every figure of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from albench.reports.figures.attention import attention
from albench.reports.figures.compare import positions, pseudo_labels, time_per_round, win_matrix
from albench.reports.figures.curves import cost_curves, learning_curves
from albench.reports.figures.slices import gallery, segmentations
from albench.reports.figures.style import Drawing, Look, looks, styled
from albench.reports.group import Group
from albench.reports.results import Study


def draw(study: Study) -> Iterator[Drawing]:
    """The figures that the records allow, group by group."""
    labels = list(dict.fromkeys(label for group in study.groups for label in group.methods))
    look = looks(labels, study.baseline)
    for group in study.groups:
        with styled():
            drawings = list(_of(study, group, look))
        yield from (drawing for drawing in drawings if drawing is not None)


def _of(study: Study, group: Group, look: Mapping[str, Look]) -> Iterator[Drawing | None]:
    yield learning_curves(study, group, look)
    yield segmentations(study, group)
    yield win_matrix(study, group)
    yield cost_curves(study, group, look)
    yield positions(study, group, look)
    yield gallery(study, group)
    yield from attention(study, group)
    yield from pseudo_labels(study, group)
    yield time_per_round(study, group)
