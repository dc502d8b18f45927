"""Learning curves: a metric over the labeled share, and over annotation cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from albench.errors import counted
from albench.reports.captions import compared, computed, floors_of, provenance
from albench.reports.costs import AXES, share_title
from albench.reports.figures.curve_lines import (
    about_bands,
    draw_floors,
    draw_line,
    draw_others,
    draw_reference,
    limit_to_means,
)
from albench.reports.figures.style import COLORED, Drawing, LineStyle, line_styles, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.study import Study
from albench.runs.scores import ALL

_BANDS = 6  # of more methods they overlap too much
_COLUMNS = 3  # of panels


def learning_curves(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Drawing:
    """All methods and the supervised reference over all rounds, and a zoomed view of the second half."""
    styles = _colored(group.methods, group.ranking, results.baseline, styles)
    figure = new_figure(3.1 + 0.16 * math.ceil(len(styles) / 5))
    whole, zoomed = subplots(figure, 1, 2)[0]
    banded = _banded(group.methods, group.ranking, results.baseline)
    for ax in (whole, zoomed):
        _methods(ax, results, group, styles, banded)
        ax.set_ylabel(results.metric_in(group).axis)
    whole.set_title("all rounds")
    zoomed.set_title("second half")
    first = min(curve.share[0] for curve in group.curves.values())
    last = max(curve.share[-1] for curve in group.curves.values())
    limit_to_means(zoomed, group, (first + last) / 2)
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    caption = (
        *compared(results, group),
        *_about_colors(group.methods, styles, results.baseline),
        *about_bands([group], banded, len(group.methods)),
        *provenance(results, group),
    )
    return Drawing(f"curves-{slug(group.name)}", f"Learning curves on {group.name}", caption, figure)


def class_curves(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Drawing | None:
    """All methods and the supervised reference, in a panel for each of several classes; None for one class."""
    by_class = {name: own for name, own in results.by_class(group).items() if name != ALL}
    if not by_class:
        return None
    columns = min(len(by_class), _COLUMNS)
    styles = _colored(group.methods, group.ranking, results.baseline, styles)
    banded = _banded(group.methods, group.ranking, results.baseline)
    figure, panels = _panels(len(by_class), columns)
    for index, (ax, (name, own)) in enumerate(zip(panels, by_class.items(), strict=True)):
        _methods(ax, results, own, styles, banded)
        ax.set_title(name)
        if index % columns == 0:
            ax.set_ylabel(results.metric_in(group).axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    caption = (
        *compared(results, group),
        "Every class is measured as if it were the only one, and has an axis of its own.",
        *_about_colors(group.methods, styles, results.baseline),
        *about_bands([group], banded, len(group.methods)),
        *provenance(results, group),
    )
    return Drawing(f"class-curves-{slug(group.name)}", f"Learning curves by class on {group.name}", caption, figure)


def study_curves(results: Results, study: Study, styles: Mapping[str, LineStyle]) -> Drawing:
    """All methods and the supervised reference, in a panel for each group of several datasets."""
    methods = list(dict.fromkeys(label for group in study.groups for label in group.methods))
    styles = _colored(methods, study.methods, results.baseline, styles)
    banded = _banded(methods, study.methods, results.baseline)
    columns = min(len(study.groups), _COLUMNS)
    figure, panels = _panels(len(study.groups), columns)
    entries: dict[str, Artist] = {}
    for index, (ax, group) in enumerate(zip(panels, study.groups, strict=True)):
        own = {label: style for label, style in styles.items() if label in group.methods}
        _methods(ax, results, group, own, banded)
        ax.set_title(group.name)
        if index % columns == 0:
            ax.set_ylabel(results.metric_in(group).axis)
        handles, labels = ax.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=5)
    title = results.metric.title
    caption = (
        f"{title[:1].upper()}{title[1:]} on the {results.metric.part} cases. Each panel has axes of its own.",
        *_about_colors(methods, styles, results.baseline, "mean rank"),
        *about_bands(study.groups, banded, len(methods)),
        *floors_of(study.groups),
        computed(results.collection, study.runs),
    )
    return Drawing("study-curves", "Learning curves on all datasets", caption, figure)


def cost_curves(results: Results, group: Group, styles: Mapping[str, LineStyle]) -> Drawing | None:
    """The same over annotation cost; None if no cost changes from round to round."""
    costs = results.costs()
    costs = costs[costs["group"] == group.name]
    axes = [axis for axis in AXES if axis != "slices" and costs[axis].nunique() > 1]
    if not axes:
        return None
    columns = len(axes) if len(axes) <= _COLUMNS else 2
    styles = _colored(group.methods, group.ranking, results.baseline, styles)
    figure, panels = _panels(len(axes), columns)
    for ax, axis in zip(panels, axes, strict=True):
        means = costs.groupby(["label", "round"])[[axis, "value"]].mean()
        points = {label: means.loc[label].to_numpy().T for label in group.methods}
        for label, style in styles.items():
            x, mean = points[label]
            draw_line(ax, style, label, x, mean, None)
        draw_others(ax, (xy for label, xy in points.items() if label not in styles))
        draw_reference(ax, group)
        draw_floors(ax, group)
        ax.set_xlabel(AXES[axis])
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_ylabel(results.metric_in(group).axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    caption = (
        *compared(results, group),
        "Each point is a round: the mean over runs of the annotation cost of all its labels, and of the metric.",
        *_about_colors(group.methods, styles, results.baseline),
        *provenance(results, group),
    )
    return Drawing(f"costs-{slug(group.name)}", f"Annotation cost on {group.name}", caption, figure)


def _panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels in rows."""
    rows = math.ceil(count / columns)
    figure = new_figure(2.4 * rows + 0.5)
    panels = [ax for row in subplots(figure, rows, columns) for ax in row]
    for ax in panels[count:]:
        ax.set_axis_off()
    return figure, panels[:count]


def _colored(
    methods: Collection[str], ranking: Sequence[str], baseline: str, styles: Mapping[str, LineStyle]
) -> dict[str, LineStyle]:
    """The methods in color: all if they are few, otherwise the baseline and the best of a ranking, in that order.

    Args:
        methods: of the figure.
        ranking: the best first.
        baseline: label of the baseline.
        styles: of the methods of all figures; empty if they are more than there are colors.
    """
    few = len([label for label in methods if label != baseline]) <= COLORED
    shown = list(methods) if few else [baseline, *[label for label in ranking if label != baseline][:COLORED]]
    known = styles or line_styles(shown, baseline)
    return {label: known[label] for label in shown if label in methods}


def _about_colors(
    methods: Collection[str], styles: Mapping[str, LineStyle], baseline: str, order: str = "mean AUBC"
) -> list[str]:
    """Which methods are in color, and by which order, unless all are."""
    left = len(methods) - len(styles)
    if not left:
        return []
    best = f"{counted(len([label for label in styles if label != baseline]), 'method')} with the best {order}"
    shown = f"the baseline and the {best}" if baseline in styles else f"the {best}"
    return [f"In color: {shown}. The other {left} are thin and gray."]


def _banded(methods: Collection[str], ranking: Sequence[str], baseline: str) -> list[str]:
    """Methods with a band: all if they are few, otherwise the baseline and the best of the others."""
    if len(methods) <= _BANDS:
        return list(methods)
    best = [label for label in ranking if label != baseline][:1]
    return [label for label in methods if label in (baseline, *best)]


def _methods(ax: Axes, results: Results, group: Group, styles: Mapping[str, LineStyle], banded: Sequence[str]) -> None:
    """The curves of all methods and the reference over the labeled share."""
    for label, style in styles.items():
        curve = group.curves[label]
        draw_line(ax, style, label, 100 * curve.share, curve.mean, curve.sd if label in banded else None)
    draw_others(ax, ((100 * curve.share, curve.mean) for label, curve in group.curves.items() if label not in styles))
    draw_reference(ax, group)
    draw_floors(ax, group)
    ax.set_xlabel(share_title(group.some_run))
