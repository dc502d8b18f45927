"""By volume: the slices of the whole volumes, or blocks of adjacent slices, that another strategy wants most.

The score of a volume is the mean or the sum of the scores of its unlabeled slices, which the inner strategy gives, and
the volumes with the highest scores are queried until the budget, which remains a number of slices, is spent. Of the
last one, the slices with the highest scores are taken. With `block`, the slices 0 to block - 1 of a volume are one
block, the next ones another. It answers what it costs to annotate volumes instead of single slices. Recorded scores are
those of the volume of each slice.

When it fails: a budget below the size of a volume takes slices of one volume only, which resemble each other. A mean
favors volumes that are small or have few unlabeled slices left, a sum those that have many. A sum of scores below 0,
such as those of `power-bald`, favors volumes with few slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from albench.acquisition import Scores
from albench.strategies.entropy import Entropy
from albench.strategy import Query, Round, Strategy, register
from albench.wrapper import Wrapper, check_scoring, requery, scored


@register("by-volume")
@dataclass(frozen=True)
class ByVolume(Wrapper):
    """Selects whole volumes, or blocks of adjacent slices.

    Attributes:
        aggregation: from the scores of slices to that of a volume or block: their `mean` or `sum`.
        block: slices of a block; none takes whole volumes.
    """

    inner: Strategy = field(default_factory=Entropy)
    aggregation: Literal["mean", "sum"] = "mean"
    block: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scoring(self.inner)

    def ranks_by_score(self) -> bool:
        """Yes: those of volumes."""
        return True

    def query(self, ctx: Round) -> Query:
        """Query the slices of the volumes with the highest scores."""
        query, slices, unlabeled = scored(self.inner, ctx), ctx.pool.slices, ctx.pool.unlabeled
        height = self.block or int(slices.position.max()) + 1
        keys = np.stack([slices.case[unlabeled], slices.position[unlabeled] // height], 1)
        blocks = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        totals = block_scores(query.scores, blocks, self.aggregation)  # type: ignore[arg-type]
        rank = np.empty(len(totals), dtype=np.int64)
        rank[np.argsort(totals if query.lowest_first else -totals, kind="stable")] = np.arange(len(totals))
        order = np.lexsort((unlabeled, -query.wanted(), rank[blocks]))[: ctx.budget]
        made = requery(query, unlabeled[order], blocks=len(np.unique(blocks[order])))
        return replace(made, scores=totals[blocks])


def block_scores(scores: Scores, blocks: NDArray[np.int64], how: Literal["mean", "sum"]) -> Scores:
    """(m,) scores of blocks from (n,) scores of slices and (n,) numbers of their blocks, 0 to m - 1."""
    sums: Scores = np.bincount(blocks, weights=scores).astype(np.float64)
    return sums if how == "sum" else sums / np.bincount(blocks)
