"""Learning curves: a metric over the labeled share, and over annotation cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from albench.reports.captions import computed, floors_of, measured, provenance
from albench.reports.costs import AXES, share_title
from albench.reports.figures.style import BASELINE, INK, Drawing, LineStyle, line_styles, new_figure, subplots
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.study import Study
from albench.runs.scores import ALL

_BANDS = 6  # of more methods they overlap too much
_COLORED = 8  # of more methods only the baseline and the best are drawn in color
_BEST = 6
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
    _zoom(zoomed, results, group)
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    caption = (
        *measured(results, group),
        *_about_colors(group.methods, styles),
        *_about_bands([group], banded, len(group.methods)),
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
        *measured(results, group),
        "Every class is measured as if it were the only one, and has an axis of its own.",
        *_about_colors(group.methods, styles),
        *_about_bands([group], banded, len(group.methods)),
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
        *_about_colors(methods, styles),
        *_about_bands(study.groups, banded, len(methods)),
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
            _line(ax, style, label, x, mean, None)
        _others(ax, (xy for label, xy in points.items() if label not in styles))
        _reference(ax, results, group)
        _floors(ax, group)
        ax.set_xlabel(AXES[axis])
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_ylabel(results.metric_in(group).axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    caption = (
        *measured(results, group),
        "Each point is a round: the mean over runs of the annotation cost of all its labels, and of the metric.",
        *_about_colors(group.methods, styles),
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
    """The methods in color: all if they are few, otherwise the baseline and the best of a ranking, in that order."""
    if len(methods) <= _COLORED:
        return {label: styles[label] for label in methods}
    best = [label for label in ranking if label != baseline][:_BEST]
    return {label: style for label, style in line_styles(best, baseline).items() if label in methods}


def _about_colors(methods: Collection[str], styles: Mapping[str, LineStyle]) -> list[str]:
    if len(styles) == len(methods):
        return []
    return [f"In color: {'; '.join(styles)}. The other {len(methods) - len(styles)} methods are thin and gray."]


def _about_bands(groups: Sequence[Group], banded: Sequence[str], methods: int) -> list[str]:
    """What bands show, if any method has a deviation."""
    curves = [group.curves[label] for group in groups for label in banded if label in group.methods]
    if not any(np.isfinite(curve.sd).any() for curve in curves):
        return []
    whose = "" if len(banded) == methods else f", only of {' and '.join(banded)} for clarity"
    return [f"Bands: one sample standard deviation{whose}."]


def _banded(methods: Collection[str], ranking: Sequence[str], baseline: str) -> list[str]:
    """Methods with a band: all if they are few, otherwise the baseline and the first of a ranking."""
    if len(methods) <= _BANDS:
        return list(methods)
    return [label for label in methods if label in (baseline, *ranking[:1])]


def _methods(ax: Axes, results: Results, group: Group, styles: Mapping[str, LineStyle], banded: Sequence[str]) -> None:
    """The curves of all methods and the reference over the labeled share."""
    for label, style in styles.items():
        curve = group.curves[label]
        _line(ax, style, label, 100 * curve.share, curve.mean, curve.sd if label in banded else None)
    _others(ax, ((100 * curve.share, curve.mean) for label, curve in group.curves.items() if label not in styles))
    _reference(ax, results, group)
    _floors(ax, group)
    ax.set_xlabel(share_title(group.some_run))


def _others(ax: Axes, curves: Iterable[Iterable[np.ndarray]]) -> None:
    """Thin gray lines behind the others, with one entry in the legend."""
    for index, (x, y) in enumerate(curves):
        ax.plot(x, y, color=BASELINE, alpha=0.5, linewidth=0.6, marker="", zorder=1.5, label="" if index else "others")


def _line(ax: Axes, style: LineStyle, label: str, x: np.ndarray, mean: np.ndarray, sd: np.ndarray | None) -> None:
    ax.plot(x, mean, color=style.color, linestyle=style.line, marker=style.marker, label=label)
    if sd is not None and not np.isnan(sd).all():
        ax.fill_between(x, mean - sd, mean + sd, color=style.color, alpha=0.12, linewidth=0)


def _reference(ax: Axes, results: Results, group: Group) -> None:
    value, sd = group.supervised
    if math.isnan(value):
        return
    ax.axhline(value, color=INK, linestyle=(0, (6, 2)), linewidth=0.9, label="all slices labeled")
    if not math.isnan(sd):
        ax.axhspan(value - sd, value + sd, color=INK, alpha=0.06, linewidth=0)


def _floors(ax: Axes, group: Group) -> None:
    """Dotted lines at what predicting nothing and predicting everything score, as far as the records tell."""
    floor = group.floor
    most = "" if floor.exact else ", at most"
    for value, name, dots in (
        (floor.nothing, "nothing predicted", (0, (1, 1))),
        (floor.everything, f"all predicted{most}", (0, (1, 3))),
    ):
        if not math.isnan(value):
            ax.axhline(value, color=INK, linestyle=dots, linewidth=0.9, label=name, zorder=1)


def _zoom(ax: Axes, results: Results, group: Group) -> None:
    """Show the second half of the shares, and the range of the means and the reference in it."""
    low = min(curve.share[0] for curve in group.curves.values())
    high = max(curve.share[-1] for curve in group.curves.values())
    middle = (low + high) / 2
    shown = [curve.mean[curve.share >= middle - 1e-9] for curve in group.curves.values()]
    values = np.concatenate([*shown, [group.supervised[0]]])
    values = values[~np.isnan(values)]
    if len(values) == 0 or low == high:
        return
    bottom, top = values.min(), values.max()
    room = 0.08 * (top - bottom) or 0.01
    ax.set_ylim(bottom - room, top + room)
    width = 100 * (high - middle)
    ax.set_xlim(100 * middle - 0.05 * width, 100 * high + 0.05 * width)
