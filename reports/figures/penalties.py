"""The pairwise penalty matrix: how often each method is significantly better than each other one, over all groups."""

from __future__ import annotations

import numpy as np
import pandas as pd

from albench.errors import counted
from albench.reports.captions import computed
from albench.reports.figures.matrix import draw_matrix
from albench.reports.figures.style import Drawing
from albench.reports.results import Results
from albench.reports.study import Study

_NUMBERED = 24  # of more methods the numbers are too small to read
_PALEST = 20.0  # percent at the last color, at least


def penalty_matrix(results: Results, study: Study) -> Drawing | None:
    """Significant wins of the row over the column; None if no group has two seeds, or splits."""
    shares = 100 * study.penalties
    tested = ~np.isnan(shares).all(axis=(0, 1))  # groups
    if not tested.any():
        return None
    table = pd.DataFrame(shares[:, :, tested].mean(2), index=study.compared, columns=study.compared)
    table.loc["mean"] = table.mean()
    highest = max(_PALEST, float(np.nanmax(table.to_numpy())))
    figure, ax = draw_matrix(
        table,
        cmap="Purples",
        highest=highest,
        numbered=_NUMBERED,
        number=".0f",
        dark=lambda value: value > 0.6 * highest,
        legend="rounds with p < 0.05 [%]",
    )
    ax.axhline(len(table) - 1.5, color="white", linewidth=3)
    ax.set_xlabel("... than this one: less is better")
    ax.set_ylabel("this method is significantly better ...")
    groups = [group for group, is_tested in zip(study.groups, tested, strict=True) if is_tested]
    better = f"in which the row has a better {results.metric.title} by a paired two-sided t test"
    caption = (
        "Pairwise penalty matrix after Ash et al., ICLR 2020, and Lueth et al., TMLR 2025: percentage of rounds, "
        f"without round 0, {better} over seeds (or splits) at 0.05, averaged over {counted(len(groups), 'group')}; "
        "below, the mean of each column. The tests are not corrected for their number, and the rounds of a run depend "
        "on each other, so the matrix summarizes and proves nothing. Methods are sorted by mean rank, those that are "
        "not ranked in every group last.",
        computed(results.collection, [run for group in groups for run in group.runs]),
    )
    return Drawing("study-penalties", "Pairwise penalties on all datasets", caption, figure)
