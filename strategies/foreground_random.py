"""Foreground random: a share of the slices is drawn from those with foreground in the truth, the rest from all others.

None of the methods compared in [1] beats it reliably; there it is called foreground aware random. It uses labels that
a real annotator would have to find first, for example by scrolling through the volume. The oracle looks them up, and
the strategy does not see them.

Differences from the paper: [1] draws 3D patches around foreground voxels of a random class; here slices are drawn, of
one class.

When it fails: it is a reference and no method to use, because nobody knows the foreground before annotating. Where
nearly all slices have foreground, it equals `random`. If fewer slices with foreground are left than all rounds want,
the run is rejected.

[1] Lueth, Traub, Kahl, Bungert, Klein, Kraemer, Jaeger, Isensee and Maier-Hein. nnActive: A Framework for Evaluation of
Active Learning in 3D Biomedical Segmentation. TMLR 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from albench.strategy import OracleDraw, Round, Strategy, register


@register("foreground-random")
@dataclass(frozen=True)
class ForegroundRandom(Strategy):
    """Draws slices at random, a share of them from those with foreground.

    Attributes:
        share: of the budget that has foreground in the truth, rounded to a number of slices; 0.66 and 0.33 in [1].
    """

    kind = "baseline"
    needs = "uses labels: the oracle draws"
    paper = "Lueth et al., TMLR 2025"
    uses_labels = True

    share: Annotated[float, Field(ge=0, le=1)] = 0.66

    def foreground_wanted(self, budget: int) -> int:
        """The share of the budget."""
        return round(self.share * budget)

    def ranks_by_score(self) -> bool:
        """No: it gives none."""
        return False

    def predictions_per_slice(self) -> float:
        """None: no image is read."""
        return 0.0

    def query(self, ctx: Round) -> OracleDraw:
        """Have the oracle draw from the unlabeled slices, twice in random order."""
        order, rest = (ctx.rng.permutation(ctx.pool.unlabeled) for _ in range(2))
        return OracleDraw(self.foreground_wanted(ctx.budget), order, rest)
