"""Learning curves as small multiples: a panel for each of many methods, in which all others are gray."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from albench.reports.captions import compared, provenance
from albench.reports.costs import share_title
from albench.reports.figures.curve_lines import (
    about_bands,
    draw_floors,
    draw_line,
    draw_others,
    draw_reference,
    limit_to_means,
)
from albench.reports.figures.style import (
    BASELINE,
    COLORED,
    HIGHLIGHT,
    Drawing,
    LineStyle,
    new_figure,
    small_multiples,
    wrapped,
)
from albench.reports.file_names import slug
from albench.reports.group import Group
from albench.reports.results import Results

_COLUMNS = 4
_ROW = 1.35  # inches


def method_panels(results: Results, group: Group) -> Drawing | None:
    """Each method before all others, the baseline first and then the best; None if each has a color of its own."""
    labels = [label for label in group.methods if label != results.baseline]
    if len(labels) <= COLORED:
        return None
    order = [*filter(group.methods.__contains__, [results.baseline])]
    order += [label for label in group.best_first if label != results.baseline]
    figure = new_figure(_ROW * -(-len(order) // _COLUMNS) + 0.5)
    titles = share_title(group.some_run), results.metric_in(group).axis
    panels = small_multiples(figure, len(order), _COLUMNS, titles)
    limit_to_means(panels[0], group, min(curve.share[0] for curve in group.curves.values()))
    for ax, label in zip(panels, order, strict=True):
        curves = {name: (100 * curve.share, curve.mean) for name, curve in group.curves.items()}
        own = curves.pop(label)
        baseline = curves.pop(results.baseline, None)
        draw_line(ax, LineStyle(HIGHLIGHT, "o"), "the method of the panel", *own, group.curves[label].sd)
        if baseline is not None:
            ax.plot(*baseline, color=BASELINE, marker="", label=results.baseline)
        draw_others(ax, curves.values())
        draw_reference(ax, group)
        draw_floors(ax, group, ax.get_ylim())
        ax.set_title(wrapped(label), fontsize=7)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    caption = (
        *compared(results, group),
        *about_bands([group], order, len(order)),
        "A panel for each method, the baseline first, then by mean AUBC, those that are not ranked last.",
        *provenance(results, group),
    )
    return Drawing(f"methods-{slug(group.name)}", f"Learning curve of each method on {group.name}", caption, figure)
