"""ClaSP PE [1]: two thirds of the slices for single classes, drawn by entropy with noise that decreases.

ClaSP PE is class-stratified scheduled power predictive entropy. A pixel's score is the entropy `H(p)` of its
prediction, for a class weighted by the probability of this class, `H(p) p_c`. The score of a slice is the mean over its
pixels: one for every class, and one without a class. A share of the budget, 0.66, is divided equally among the classes
without the background; slices that do not divide go to classes drawn at random. Each class takes the slices with the
highest `exponent ln(score) + Gumbel noise`, with noise of its own; the rest of the budget is taken likewise by the
score without a class. They choose in random order, each among the slices that are left. The exponent grows with the
round t as `first_exponent (last_exponent / first_exponent)^(t / rounds)`, from 1 towards 100: the slices are diverse in
the first rounds and the most uncertain ones in the last. A class whose probability is 0 everywhere takes slices at
random.

Sources: the abstract of [1] and the caption of its overview, which [2] repeats, name the parts: 66 % of the budget
stratified by predicted class probabilities, and noise on the logarithm of the scores that decreases. The rest of the
text was not available. From the authors' code [2] are the weight `H(p) p_c`, the mean over a patch, equal numbers for
all classes with the remainder drawn at random, Gumbel noise of the scale 1 / exponent, and the geometric schedule from
1 in the first training to 100 in the last one, after which there is no query.

Differences from the paper: [1] queries patches of volumes, which must not overlap, and [2] takes the mean prediction of
the networks of a cross-validation; here slices are queried, and one prediction without dropout is the default
(`passes` takes the mean over dropout samples). In [2] classes choose in random order within each volume, here in the
whole pool.

When it fails: a class that the network does not predict yet takes slices at random. Small classes take as many slices
as large ones, so with many classes and a small budget little is left for each. The entropy of a class is highest at its
contour, and a mean over pixels favors slices in which the class is large.

[1] Lueth, Traub, Kahl, Bungert, Klein, Kraemer, Jaeger, Maier-Hein and Isensee. Finally Outshining the Random Baseline:
A Simple and Effective Solution for Active Learning in 3D Biomedical Imaging. TMLR 2026.
[2] github.com/MIC-DKFZ/nnActive, `class_power_pe66_exp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from albench.acquisition import entropy, log_power, perturbed, top_k
from albench.probabilities import by_class
from albench.strategies._predictive_entropy import PredictiveEntropy
from albench.strategy import Ids, Query, Round, Scores, register
from albench.training.batches import Gathered


@register("clasp-pe")
@dataclass(frozen=True)
class ClaspPE(PredictiveEntropy):
    """Draws slices for every class and without a class, weighted by predictive entropy.

    Attributes:
        share: of the budget that is divided among the classes, rounded down to a number of slices.
        first_exponent: in round 0; the higher, the less the draw is left to chance.
        last_exponent: towards which the exponent grows; that of the round after the last query.
    """

    kind = "hybrid"
    paper = "Lueth et al., TMLR 2026"

    share: Annotated[float, Field(ge=0, le=1)] = 0.66
    first_exponent: Annotated[float, Field(gt=0)] = 1.0
    last_exponent: Annotated[float, Field(gt=0)] = 100.0

    def ranks_by_score(self) -> bool:
        """No: classes take slices by scores of their own."""
        return False

    def query(self, ctx: Round) -> Query:
        """Query slices drawn by their predictive entropy, for every class and without a class."""
        exponent = self.exponent_at(ctx.index, ctx.rounds)
        scores = np.stack([perturbed(log_power(row, exponent), ctx.rng) for row in self.scores(ctx)])
        counts = self.counts(ctx.budget, len(scores) - 1, ctx.rng)
        rows = choose(scores, counts, ctx.rng.permutation(len(scores)))
        return Query(ctx.pool.unlabeled[rows], scores=scores[-1], notes={"exponent": exponent})

    def scores(self, ctx: Round) -> Scores:
        """(K + 1, n) scores of every unlabeled slice, for each of K classes, and last without a class."""
        gathered = Gathered()
        for prediction in self.predictions(ctx):
            uncertainty = entropy(prediction.probs)
            weights = self.weigh(prediction.probs, prediction.scored)
            maps = [uncertainty * part for part in by_class(prediction.probs)[1:]] + [uncertainty]
            gathered.add(torch.stack([self.aggregate(values, weights) for values in maps], 1).flatten())
        return gathered.read().reshape(len(ctx.pool.unlabeled), -1).T

    def exponent_at(self, index: int, rounds: int) -> float:
        """The exponent of round `index`, geometric between the first and the last one."""
        return float(self.first_exponent * (self.last_exponent / self.first_exponent) ** (index / rounds))

    def counts(self, budget: int, classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(K + 1,) slices to take for each of K classes, and last without a class; their sum is the budget."""
        shared = int(self.share * budget)
        counts = np.full(classes + 1, shared // classes, dtype=np.int64)
        counts[rng.permutation(classes)[: shared % classes]] += 1
        counts[-1] = budget - shared
        return counts


def choose(scores: Scores, counts: NDArray[np.int64], order: Ids) -> Ids:
    """Take the highest scores of one row of scores after the other, each among the columns that are left.

    Args:
        scores: (s, n) one row per stratum.
        counts: (s,) columns to take by each row, at most n together.
        order: (s,) the rows in the order in which they choose.

    Returns:
        (sum of counts,) columns, in the order in which they are taken.
    """
    left, taken = np.arange(scores.shape[1]), [np.empty(0, dtype=np.int64)]
    for row in order:
        taken.append(top_k(scores[row, left], left, counts[row]))
        left = np.setdiff1d(left, taken[-1])
    return np.concatenate(taken)
