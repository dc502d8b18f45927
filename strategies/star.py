"""STAR [1]: the slices least similar to the labeled ones, with pseudo-labels propagated by attention.

A case is divided into groups of j + 1 slices, from one initial slice to the next. A round has two training stages. The
first is the supervised training of all strategies; its network is evaluated. The second trains on pairs of neighboring
labeled slices: a second encoder encodes one slice with its mask (the memory), and the other slice is segmented by
attention to it. The network then segments every unlabeled slice from the labeled slices of its group. The slices whose
features are least similar to these are queried, and the predictions with the lowest entropy are pseudo-labels in the
next round.

Presets: `paper` is [1], completed as listed below; `reference` is the authors' code [2], which differs in

    grouping=sliding, similarity=multiscale, selection=global, pseudo_as_memory=true, refill=false, entropy=half,
    pairs=forward, val_pair_stride=1, batch_norm=frozen, value_init=random, propagation_lr=5e-5,
    propagation_patience=5

and also needs `--set training.lr_incremental=1e-4 --set network.upsample=nearest --set network.dropout=0`. An option
that is set overrides its preset; `null` leaves it to the preset. Three details of [2] are not reproduced: frozen
normalization in the first stage, separate augmentation of the two slices of a pair, and a second division of the loss
by the batch size.

Differences from the paper:

- Pairs are used in both directions. [1] does not specify this; in [2] the memory is always the lower slice, although
  groups have labels on both sides.
- Validation pairs are j slices apart, the largest distance of propagation. [1] does not specify this; [2] uses adjacent
  slices.
- The decoder's upsampling is bilinear, as in the network that [2] is derived from; in [2] it is nearest neighbor.
- Eq. 4 does not specify the features: here the bottleneck as one vector (`similarity=flat`).
- Each group nominates its least similar slice, as in [1]. As there are more groups than the budget b, the b least
  similar of these slices are queried. If there are fewer groups, the second slice of each group follows, and so on
  (`selection=group-first`).
- Eq. 2 divides by the square root of D/8, the depth of the keys, which [1] denotes by D like that of the features.
- There are two key/value heads as in [2], one for each encoder; Eq. 1 has a single one (`share_kv=true`).
- The encoder of labeled slices also has the background, 1 - mask, as an input, as in [2].
- The propagation loss, which [1] does not specify, is binary cross-entropy as in [2] (`propagation_loss`).
- Learning rates: [1] has 1e-4 for supervised and 1e-5 for incremental training. Both stages use the former in round 0
  and the latter in later rounds (`propagation_lr=1e-5` sets the second stage in all rounds).
- The patience of the second stage is twice that of the first, 10 instead of the 5 epochs of [1]
  (`propagation_patience=5`): with few pairs, the validation loss fluctuates while attention is learned.
- The predictions of a slice in several groups are averaged, as in [2].
- A queried slice is not pseudo-labeled; the slice with the next higher entropy replaces it (`refill`).
- The bottleneck has dropout, as for all other strategies here.
- Weights are initialized at random or from ImageNet. Those of [2] come from a video segmentation network, not mentioned
  in [1], with trained attention. Without it, value heads with random initial weights train too slowly; here they start
  as the identity (`value_init=random` for random weights).
- Padding is excluded from attention and similarity.
- Groups presume `protocol.start=interval` or `inside`. With another start, slices of groups without a labeled slice
  have a similarity of -1 and are queried first.
- If no case has two labeled slices, there are no pairs, and slices are segmented without attention.
- Without attention, the encoder of labeled slices is not trained. Eq. 4 then compares features of the other encoder,
  which does not have the mask as an input.

When it fails: slices that resemble no labeled one, such as those at the ends of a volume, are queried whether or not
they have anything to segment. Propagation needs labeled slices nearby, so thick slices, few initial slices and large
gaps make poor pseudo-labels, on which the next round trains. It takes a second training in every round.

[1] Ma et al. Spatial Aggregation for Semi-supervised Active Learning in 3D Medical Image Segmentation. MICCAI 2025.
[2] github.com/HelenMa9998/STAR
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from albench.acquisition import Scores, entropy, most_certain, pseudo_selection
from albench.errors import StrategyError
from albench.masks import Ids, Mask, PackedMasks
from albench.pool import Pool
from albench.probabilities import by_class, predicted_masks
from albench.strategies._star.figures import attention_arrays, histogram
from albench.strategies._star.groups import (
    Direction,
    fixed_groups,
    neighbors,
    pairs_at_stride,
    rank_in_group,
    rows_of,
    windows,
)
from albench.strategies._star.network import StarNetwork
from albench.strategies._star.propagation import Aggregation, Propagation, Rules, propagate
from albench.strategies._star.similarity import SIMILARITIES, Similarity
from albench.strategies._star.training import PairLoss, Pairs, train_propagation
from albench.strategy import Kind, Query, Round, Strategy, Task, check_neighbors, register
from albench.training.examples import Examples
from albench.training.learner import Learner
from albench.training.packing import pack_predictions

_PRESET: Any = None  # default of an option that the preset sets
_COMPARED = 8  # every eighth slice is also segmented without attention for comparison; all would take too long

PRESETS: Mapping[str, Mapping[str, object]] = {
    "paper": {
        "grouping": "fixed",
        "similarity": "flat",
        "selection": "group-first",
        "pseudo_as_memory": False,
        "refill": True,
        "entropy": "binary",
        "pairs": "both",
        "val_pair_stride": None,
        "batch_norm": "train",
        "value_init": "identity",
        "propagation_lr": None,
        "propagation_patience": None,
    },
    "reference": {
        "grouping": "sliding",
        "similarity": "multiscale",
        "selection": "global",
        "pseudo_as_memory": True,
        "refill": False,
        "entropy": "half",
        "pairs": "forward",
        "val_pair_stride": 1,
        "batch_norm": "frozen",
        "value_init": "random",
        "propagation_lr": 5e-5,
        "propagation_patience": 5,
    },
}

TABLE_2: tuple[Mapping[str, str], ...] = (
    {"aggregation": "none", "query_rule": "random"},
    {"aggregation": "none", "query_rule": "similarity"},
    {"aggregation": "attention", "query_rule": "random"},
    {"aggregation": "self", "query_rule": "similarity"},
    {"aggregation": "attention", "query_rule": "similarity"},
)
"""Options that give the rows of Table 2, in its order. Row 1 equals `random`; row 4 is called "CEAL" there."""


@register("star")
@dataclass(frozen=True)
class Star(Strategy):
    """Propagates labels between slices by attention and queries the slices least similar to labeled ones.

    Attributes:
        preset: sets every option below that is not set itself (see above).
        aggregation: how slices are segmented for pseudo-labels: by `attention` to labeled slices, from the slice alone
            (`self`), or not at all (`none`).
        query_rule: query the slices with the lowest `similarity`, or at `random`.
        pseudo_count: pseudo-labels per round; None takes the budget, 0 has none.
        exclude_empty: pseudo-label only slices with predicted foreground.
        balanced: pseudo-label as many slices with predicted foreground as without.
        share_kv: use one key/value head for both encoders.
        value_init: initial weights of the value heads; `identity` copies features, so that the decoder can read them.
        propagation_loss: loss of the second stage: binary cross-entropy, or the focal loss of the first stage.
        grouping: `fixed` groups from one initial slice to the next, or a `sliding` group from every labeled slice.
        similarity: cosine of bottlenecks as one vector (`flat`), averaged over positions (`positional`), or averaged
            over positions of three layers (`multiscale`).
        selection: query the lowest similarities of all slices (`global`), or of those that the groups nominate
            (`group-first`).
        pseudo_as_memory: treat pseudo-labeled slices as labeled ones in pairs and groups, and do not query them as long
            as there are enough other slices.
        refill: select pseudo-labels among the slices that are not queried; false selects among all slices and drops the
            queried ones.
        entropy: entropy over all classes and the background (`binary`), or without its term (`half`).
        pairs: either slice of a pair can be the memory of the other (`both`), or only the lower one (`forward`).
        val_pair_stride: distance of validation pairs in slices; None takes the interval of the initial slices.
        batch_norm: mode of batch normalization in the second stage, `train` or `frozen`.
        propagation_lr: learning rate of the second stage; None takes that of the first stage in the same round.
        propagation_patience: patience of the second stage in epochs; None takes twice that of the first stage.
    """

    kind: ClassVar[Kind] = "semi-supervised"
    needs: ClassVar[str] = "a second encoder with attention, and a second training stage"
    paper: ClassVar[str] = "Ma et al., MICCAI 2025"
    shares_round_zero: ClassVar[bool] = True  # the other parts come after the plain network and train in `query`

    preset: Literal["paper", "reference"] = "paper"
    aggregation: Aggregation = "attention"
    query_rule: Literal["similarity", "random"] = "similarity"
    pseudo_count: Annotated[int, Field(ge=0)] | None = None
    exclude_empty: bool = False
    balanced: bool = False
    share_kv: bool = False
    value_init: Literal["identity", "random"] = _PRESET
    propagation_loss: PairLoss = "bce"
    grouping: Literal["fixed", "sliding"] = _PRESET
    similarity: Similarity = _PRESET
    selection: Literal["global", "group-first"] = _PRESET
    pseudo_as_memory: bool = _PRESET
    refill: bool = _PRESET
    entropy: Literal["binary", "half"] = _PRESET
    pairs: Direction = _PRESET
    val_pair_stride: Annotated[int, Field(ge=1)] | None = None
    batch_norm: Literal["train", "frozen"] = _PRESET
    propagation_lr: Annotated[float, Field(gt=0)] | None = None
    propagation_patience: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        pseudo_selection(exclude_empty=self.exclude_empty, balanced=self.balanced)
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def trainings(self) -> int:
        """Two with attention: the second stage is part of the query."""
        return 2 if self.aggregation == "attention" else 1

    def check(self, pool: Pool) -> None:
        """Reject volumes of one slice, between which nothing can be propagated."""
        check_neighbors(pool)

    def network(self, task: Task) -> StarNetwork:
        """The network of all strategies with an encoder of labeled slices and attention."""
        return StarNetwork(task, share_kv=self.share_kv, identity=self.value_init == "identity")

    def ranks_by_score(self) -> bool:
        """Unless the query is random; the nomination by groups is left out then."""
        return self.query_rule == "similarity"

    def predictions_per_slice(self) -> float:
        """One, and every eighth slice once more, without attention."""
        return 1 + 1 / _COMPARED if self.aggregation != "none" or self.query_rule != "random" else 0.0

    def query(self, ctx: Round) -> Query:
        """Train the second stage, propagate labels, and select queries and pseudo-labels; `fit` is the first stage."""
        if self.aggregation == "none" and self.query_rule == "random":
            return Query(_random(ctx, ctx.pool.unlabeled))
        network = ctx.learner.network
        assert isinstance(network, StarNetwork)
        memory, candidates = self._memory(ctx)
        groups = self._groups(ctx.pool, memory, ctx.interval)
        aggregation, before, pairs = self.aggregation, None, np.empty((0, 2), dtype=np.int64)
        if aggregation == "attention":
            before = ctx.learner.snapshot()
            pairs = self._second_stage(ctx, network, memory)
            aggregation = "attention" if len(pairs) else "self"
        rules = Rules(aggregation, SIMILARITIES[self.similarity], _ENTROPIES[self.entropy])
        ids = np.setdiff1d(np.union1d(candidates, ctx.pool.undrawn), list(memory))
        found = propagate(network, ctx.learner, ids, memory, groups, rules)
        if aggregation != "none" and not np.isfinite(found.entropy).all():
            raise StrategyError("predictions must be finite, some are not: lower strategy.propagation_lr")
        queried = (
            _random(ctx, candidates)
            if self.query_rule == "random"
            else self._least_similar(found, candidates, groups, ctx.budget)
        )
        pseudo = self._most_certain(found, queried, ctx.budget) if aggregation != "none" else []
        return Query(
            queried,
            found.masks.only(pseudo),
            scores=_all_scores(ctx, found),
            lowest_first=True,
            notes={"pairs": len(pairs), "groups": sum(map(len, groups))} | histogram(found.similarity),
            predictions=self._predictions(ctx, found, before, pseudo),
            arrays=attention_arrays(found.attention, found.masks, memory, ctx.pool),
        )

    def _memory(self, ctx: Round) -> tuple[dict[int, Mask], Ids]:
        """{id: mask} of the slices that are treated as labeled, and the ids that can be queried."""
        memory = {int(i): ctx.pool.mask(int(i)) for i in ctx.pool.labeled}
        unlabeled = ctx.pool.unlabeled
        rest = np.setdiff1d(unlabeled, list(ctx.pseudo))
        if self.pseudo_as_memory and len(rest) >= ctx.budget:
            return memory | dict(ctx.pseudo), rest
        return memory, unlabeled

    def _groups(self, pool: Pool, memory: Mapping[int, Mask], interval: int) -> list[list[Ids]]:
        """For each case the ids in each of its groups."""
        groups = []
        for case in range(len(pool.slices.cases)):
            ids = pool.slices.of(case)
            if self.grouping == "fixed":
                found = fixed_groups(len(ids), interval)
            else:
                found = windows(len(ids), interval, np.flatnonzero(np.isin(ids, list(memory))).tolist())
            groups.append([ids[group.start : group.stop] for group in found])
        return groups

    def _second_stage(self, ctx: Round, network: StarNetwork, memory: Mapping[int, Mask]) -> Ids:
        """Train on pairs of neighboring labeled slices, if there are any; returns the pairs."""
        learner, slices = ctx.learner, ctx.pool.slices
        pairs = neighbors(np.array(sorted(memory), dtype=np.int64), slices.case, self.pairs)
        if len(pairs):
            train_propagation(
                network,
                learner,
                Pairs.of(Examples.of_masks(slices, memory, learner.device), pairs),
                self._validation_pairs(learner, ctx.interval),
                lr=self.propagation_lr or learner.lr,
                patience=self.propagation_patience or 2 * learner.training.patience,
                loss=self.propagation_loss,
                freeze_norm=self.batch_norm == "frozen",
            )
        return pairs

    def _validation_pairs(self, learner: Learner, interval: int) -> Pairs | None:
        """Pairs of validation slices, of neighbors where none are far enough apart; None without validation cases."""
        val = learner.validation
        if val is None:
            return None
        drawn, case = np.flatnonzero(val.slices.annotatable), val.slices.case
        ids = pairs_at_stride(case, self.val_pair_stride or interval, self.pairs)
        ids = ids[np.isin(ids, drawn).all(1)]
        if not len(ids):
            ids = np.concatenate([neighbors(drawn, case, self.pairs), np.stack([drawn, drawn], 1)])
        return Pairs.of(Examples.of_labeled(val, np.unique(ids), learner.device), ids)

    def _least_similar(self, found: Propagation, candidates: Ids, groups: Sequence[Sequence[Ids]], budget: int) -> Ids:
        """Those of the candidates that are least similar to the labeled slices of their groups (Sec. 2.2)."""
        similarity, first = found.similarity[np.isin(found.ids, candidates)], np.zeros(len(candidates))
        if self.selection == "group-first":
            rows = [rows_of(group, candidates) for own in groups for group in own]
            first = rank_in_group(rows, similarity)
        return candidates[np.lexsort((candidates, similarity, first))][:budget]

    def _most_certain(self, found: Propagation, queried: Ids, budget: int) -> list[int]:
        """The slices with the lowest entropy that are not queried (Sec. 2.2)."""
        count = budget if self.pseudo_count is None else self.pseudo_count
        ranked = found.ids[np.lexsort((found.ids, found.entropy))]
        if self.refill:
            ranked = ranked[~np.isin(ranked, queried)]
        nonempty = found.masks.nonempty(ranked)
        keep = pseudo_selection(exclude_empty=self.exclude_empty, balanced=self.balanced)
        return [int(i) for i in most_certain(ranked, nonempty, count, keep) if i not in queried]

    def _predictions(
        self, ctx: Round, found: Propagation, before: dict[str, Tensor] | None, pseudo: Sequence[int]
    ) -> dict[str, PackedMasks]:
        """Predictions with and without attention, of every eighth slice and of pseudo-labels, (Fig. 3b)."""
        if self.aggregation == "none":
            return {}
        if before is None:
            return {"plain": found.masks, "pseudo": found.masks.only(pseudo)}
        some = found.ids[::_COMPARED].tolist()
        plain = _plain_predictions(ctx, np.union1d(some, pseudo).astype(np.int64), before)
        return {
            "propagated": found.masks.only(some),
            "plain": plain.only(some),
            "pseudo": found.masks.only(pseudo),
            "pseudo_plain": plain.only(pseudo),
        }


def _half_entropy(probs: Tensor) -> Tensor:
    """(b, h, w) entropy without the term of the background, as in [2]."""
    return torch.stack([torch.special.entr(part) for part in by_class(probs)[1:]]).sum(0)


_ENTROPIES = {"binary": entropy, "half": _half_entropy}


def _random(ctx: Round, ids: Ids) -> Ids:
    return ctx.rng.choice(ids, size=ctx.budget, replace=False)


def _plain_predictions(ctx: Round, ids: Ids, before: dict[str, Tensor]) -> PackedMasks:
    """Predictions without attention, with the weights `before` the second stage."""
    ctx.learner.exchange(before)
    predicted = ctx.learner.predict(ctx.pool.slices, ids)
    parts = ((found.ids, predicted_masks(found.probs, found.valid)) for found in predicted)
    masks = pack_predictions(ctx.pool.slices, ids, parts)
    ctx.learner.exchange(before)
    return masks


def _all_scores(ctx: Round, found: Propagation) -> Scores:
    """Similarity of every unlabeled slice; 1 for those in the memory."""
    scores = np.ones(len(ctx.pool.unlabeled))
    scores[np.isin(ctx.pool.unlabeled, found.ids)] = found.similarity[np.isin(found.ids, ctx.pool.unlabeled)]
    return scores
